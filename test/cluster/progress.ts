import { AsyncLocalStorage } from 'node:async_hooks';
import { stripVTControlCharacters, styleText } from 'node:util';
import { execa, type Options } from 'execa';

const HEARTBEAT_MS = 30_000;
const REDRAW_MS = 200;
const KEPT_LINES = 30;

interface Step {
  text: string;
  startedMs: number;
  lastLine: string;
}

const current = new AsyncLocalStorage<Step>();
const running = new Set<Step>();
let liveLine = false;

/** Prints one message line to stderr, above the live line if there is one. */
export function note(message: string): void {
  clearLiveLine();
  process.stderr.write(`${message}\n`);
}

/**
 * Runs `fn` and tells the user on stderr what happens and how long it took: on a terminal with a live line, elsewhere
 * with a line every 30 seconds. Steps may nest and run side by side. `typical` says how long it usually takes, for
 * steps that would otherwise look stuck.
 */
export async function step<T>(text: string, fn: () => Promise<T>, options: { typical?: string } = {}): Promise<T> {
  const it: Step = { text, startedMs: performance.now(), lastLine: '' };
  note(`${color('cyan', '•')} ${text}${options.typical ? ` (${options.typical})` : ''} …`);
  running.add(it);
  const stopTicking = tick(it);
  try {
    const result = await current.run(it, fn);
    finish(it, stopTicking);
    note(`${color('green', '✓')} ${text} (${elapsed(it)})`);
    return result;
  } catch (error) {
    finish(it, stopTicking);
    note(`${color('red', '✗')} ${text} (${elapsed(it)})`);
    throw error;
  }
}

function finish(it: Step, stopTicking: () => void): void {
  stopTicking();
  running.delete(it);
}

function tick(it: Step): () => void {
  const timer = process.stderr.isTTY
    ? setInterval(() => drawLiveLine(it), REDRAW_MS)
    : setInterval(
        () => note(`  ${it.text}: ${elapsed(it)} so far${it.lastLine && `, last: ${it.lastLine}`}`),
        HEARTBEAT_MS,
      );
  return () => clearInterval(timer);
}

/** Only the step that began last draws, so that steps side by side do not fight for the line. */
function drawLiveLine(it: Step): void {
  if ([...running].at(-1) !== it) return;
  const line = `  ${elapsed(it)}  ${it.lastLine}`.slice(0, (process.stderr.columns ?? 80) - 1);
  clearLiveLine();
  process.stderr.write(color('dim', line));
  liveLine = true;
}

function clearLiveLine(): void {
  if (liveLine) process.stderr.write('\r\x1b[K');
  liveLine = false;
}

function elapsed({ startedMs }: Step): string {
  return duration(performance.now() - startedMs);
}

/** "0.4 s", "12 s", "3 min 20 s". */
export function duration(ms: number): string {
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Colours only on a terminal and without NO_COLOR, which `styleText` checks. */
function color(format: 'cyan' | 'green' | 'red' | 'dim', text: string): string {
  return styleText(format, text, { stream: process.stderr });
}

/** A command that could not be started or did not exit with 0. The message has the command and its last lines. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  /** ENOENT: the program is not there. Otherwise undefined. */
  readonly code: string | undefined;
  readonly exitCode: number | undefined;

  constructor(message: string, code: string | undefined, exitCode: number | undefined) {
    super(message);
    this.code = code;
    this.exitCode = exitCode;
  }
}

export type RunOptions = Pick<
  Options,
  'cwd' | 'env' | 'extendEnv' | 'input' | 'timeout' | 'cancelSignal' | 'uid' | 'gid'
>;

/**
 * Runs a command to its end and returns its stdout without the final newline. What it prints is shown only as the
 * surrounding step's live line; when it fails, a {@link CommandError} carries the last 30 lines.
 */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const lines: string[] = [];
  const keep = function* (line: unknown): Generator<unknown> {
    const text = stripVTControlCharacters(String(line)).trimEnd();
    if (text) {
      lines.push(text);
      if (lines.length > KEPT_LINES) lines.shift();
      const step = current.getStore();
      if (step) step.lastLine = text.trim();
    }
    yield line;
  };
  const result = await execa(command, args, { ...options, reject: false, stdout: keep, stderr: keep });
  if (!result.failed) return result.stdout;
  const reason =
    result.exitCode === undefined ? (result.shortMessage ?? 'could not run') : `exit code ${result.exitCode}`;
  const shown = [command, ...args].join(' ');
  throw new CommandError([`\`${shown}\` failed: ${reason}`, ...lines].join('\n'), result.code, result.exitCode);
}
