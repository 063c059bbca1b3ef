/** The part of pino's logger that the stations use; the composition root hands in the real one. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** An error as log fields, without a stack. */
export const errorFields = (error: unknown): { error: string } => ({
  error: error instanceof Error ? error.message : String(error),
});
