/** How the operator logs. Apart from the logger itself, which no other command needs. */

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ['json', 'text'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface LogOptions {
  readonly level: LogLevel;
  /** Left out: text for people on a terminal, JSON for programs. */
  readonly format?: LogFormat | undefined;
}
