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

/** What comes within this time goes out by one system call: one for each line is a tenth of a rebuild's CPU. */
const GATHER_MS = 50;
/** Or as soon as so much of it has come. */
const GATHER_BYTES = 8_192;

/** JSON lines, in the background and many at once; `flush` writes what there is at once. At rest nothing ticks. */
function gathered(fd: number): pino.DestinationStream & { readonly flush: () => void } {
  const file = pino.destination({ dest: fd, sync: false, minLength: GATHER_BYTES });
  let isDue = false;
  const flush = () => {
    isDue = false;
    file.flush();
  };
  return {
    write: (line) => {
      file.write(line);
      if (!isDue) setTimeout(flush, GATHER_MS).unref();
      isDue = true;
    },
    flush: () => file.flushSync(),
  };
}

/**
 * The operator's log, on stderr. JSON lines are written in the background, so that a rebuild, which tells of thousands
 * of writes, does not wait for each of them; pino writes the rest when the process exits, and only a SIGKILL loses a
 * moment.
 */
export function operatorLog({ level, format = process.stderr.isTTY ? 'text' : 'json' }: LogOptions): Logger {
  const options: pino.LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  };
  if (format === 'json') return pino(options, gathered(2));
  const paint = (style: Style, text: string) => styleText(style, text, { stream: process.stderr });
  return pino(options, { write: (json: string) => void process.stderr.write(humanLine(json, paint)) });
}
