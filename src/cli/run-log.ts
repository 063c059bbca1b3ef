import { styleText } from 'node:util';
import pino, { type Logger } from 'pino';
import { printable } from '../job/problem.ts';
import type { LogOptions } from './log-options.ts';

type Style = Parameters<typeof styleText>[0];

const STYLES: Readonly<Record<string, Style>> = {
  debug: 'gray',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
};

const word = (value: unknown): string =>
  printable(typeof value === 'string' && !value.includes(' ') ? value : JSON.stringify(value));

/**
 * One log entry as one line for a person: time, level, what happened, and then the details.
 * @param json the entry as pino wrote it
 */
export function humanLine(json: string, paint: (style: Style, text: string) => string): string {
  const { level, time, msg, ...rest } = JSON.parse(json) as Record<string, unknown>;
  const name = String(level);
  const clock = String(time).slice(11, 19);
  const details = Object.entries(rest).map(([key, value]) => ` ${key}=${word(value)}`);
  const label = paint(STYLES[name] ?? 'gray', name.toUpperCase().padEnd(5));
  return `${clock} ${label} ${printable(String(msg ?? ''))}${paint('gray', details.join(''))}\n`;
}

/**
 * The operator's log, on stderr. JSON lines are written in the background, so that a rebuild, which tells of thousands
 * of writes a second, does not wait for each of them: what comes while one write is under way goes out with the next.
 * Nothing waits for more to come, and pino writes the rest when the process exits; only a SIGKILL loses a moment.
 */
export function operatorLog({ level, format = process.stderr.isTTY ? 'text' : 'json' }: LogOptions): Logger {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  };
  if (format === 'json') return pino(options, pino.destination({ dest: 2, sync: false }));
  const paint = (style: Style, text: string) => styleText(style, text, { stream: process.stderr });
  return pino(options, { write: (json: string) => void process.stderr.write(humanLine(json, paint)) });
}
