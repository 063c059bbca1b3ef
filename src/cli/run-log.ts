import { writeSync } from 'node:fs';
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
const GATHER_CHARS = 8_192;
/** So long the last lines wait for a reader that is slow. */
const LAST_WORDS_LIMIT_MS = 200;
const LOOK_AGAIN_MS = 5;

/** JSON lines, in the background and many at once; `flush` writes what waits, and an exit does so. At rest nothing ticks. */
function gathered(fd: number): pino.DestinationStream & { readonly flush: () => void } {
  const file = pino.destination({ dest: fd, sync: false });
  let waiting = '';
  let timer: NodeJS.Timeout | null = null;
  const take = (): string => {
    const taken = waiting;
    waiting = '';
    if (timer) clearTimeout(timer);
    timer = null;
    return taken;
  };
  const flush = () => writeNow(fd, take());
  process.once('exit', flush);
  return {
    write: (line) => {
      waiting += line;
      if (waiting.length >= GATHER_CHARS) file.write(take());
      else timer ??= setTimeout(() => file.write(take()), GATHER_MS).unref();
    },
    flush,
  };
}

/** By hand, since SonicBoom's `flushSync` tries for ever where nobody reads any more. */
function writeNow(fd: number, text: string): void {
  let rest = Buffer.from(text);
  const until = performance.now() + LAST_WORDS_LIMIT_MS;
  while (rest.length > 0 && performance.now() < until) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      // Whoever would be told has gone away.
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_AGAIN_MS);
    }
  }
}

/**
 * The operator's log, on stderr. JSON lines are written in the background, so that a rebuild, which tells of thousands
 * of writes, does not wait for each of them. What ends the process with no exit of its own (SIGKILL, out of memory) takes
 * the last moment along.
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
