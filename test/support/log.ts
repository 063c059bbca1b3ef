import type { Log } from '../../src/ports/log.ts';

export interface LogLine {
  readonly level: string;
  readonly fields: object;
  readonly message: string;
}

/** A log that keeps its lines for a test to read; BULKHEAD_TEST_LOG=1 prints them too. */
export class MemoryLog implements Log {
  readonly lines: LogLine[] = [];

  debug(fields: object, message: string): void {
    this.#add('debug', fields, message);
  }

  info(fields: object, message: string): void {
    this.#add('info', fields, message);
  }

  warn(fields: object, message: string): void {
    this.#add('warn', fields, message);
  }

  error(fields: object, message: string): void {
    this.#add('error', fields, message);
  }

  #add(level: string, fields: object, message: string): void {
    this.lines.push({ level, fields, message });
    if (process.env.BULKHEAD_TEST_LOG) console.error(level, message, JSON.stringify(fields));
  }
}
