import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;
const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 10_000;

/** A process that outlives the one that started it. */
export interface DaemonSpec {
  /** Holds one line of /proc/PID/stat: the process id and when it started, so a recycled id is never taken for ours. */
  pidFile: string;
  /** Its stdout and stderr are appended here. */
  logFile: string;
  command: string;
  args: readonly string[];
  cwd?: string;
  /** Added to this process's environment. */
  env?: Record<string, string>;
}

/**
 * Writes the pid file and becomes the daemon. The daemon-to-be writes it, not we: were we killed between starting it
 * and writing the file, nobody would know of it.
 */
const LAUNCHER = 'read -r stat </proc/$$/stat && echo "$stat" >"$0.tmp" && mv "$0.tmp" "$0" && exec "$@"';

/**
 * Starts a daemon in a session of its own and returns its process id. A running one of the same pid file must have
 * been stopped before. That it runs does not say that it is ready: ask it.
 */
export async function startDaemon(spec: DaemonSpec): Promise<number> {
  mkdirSync(dirname(spec.pidFile), { recursive: true });
  mkdirSync(dirname(spec.logFile), { recursive: true });
  await rm(spec.pidFile, { force: true });
  const log = openSync(spec.logFile, 'a');
  const child = spawn('/bin/sh', ['-c', LAUNCHER, spec.pidFile, spec.command, ...spec.args], {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...spec.env },
    ...(spec.cwd && { cwd: spec.cwd }),
  });
  closeSync(log);
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', async () => reject(new Error(`${spec.command} ended at once.\n${await logTail(spec.logFile)}`)));
  });
  // Only what happens before the pid file is there matters here; a later end is seen by alive().
  failed.catch(() => undefined);
  const pid = await Promise.race([failed, waitForPid(spec.pidFile)]);
  child.unref();
  return pid;
}

async function waitForPid(pidFile: string): Promise<number> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const pid = await alive(pidFile);
    if (pid !== undefined) return pid;
    await sleep(POLL_MS);
  }
  throw new Error(`No process wrote ${pidFile} within ${START_TIMEOUT_MS / 1000} s.`);
}

/**
 * The process id if the daemon of this pid file runs. A zombie does not count, unless threads of it are still ending:
 * until they have, it holds its ports and files.
 */
export async function alive(pidFile: string): Promise<number | undefined> {
  const recorded = parseStat(await readIfThere(pidFile));
  if (!recorded) return undefined;
  const actual = parseStat(await readIfThere(`/proc/${recorded.pid}/stat`));
  if (actual?.startTicks !== recorded.startTicks) return undefined;
  return 'ZX'.includes(actual.state) && actual.threads <= 1 ? undefined : recorded.pid;
}

/** The command line of a running process, program first; undefined when it has ended. */
export async function commandLine(pid: number): Promise<string[] | undefined> {
  const text = await readIfThere(`/proc/${pid}/cmdline`);
  return text ? text.split('\0').slice(0, -1) : undefined;
}

/**
 * Ends the daemon, if it runs, and removes its pid file. A daemon that has not ended `timeoutMs` after SIGTERM gets
 * SIGKILL. Only the process itself gets the signals, not what it started.
 */
export async function stopDaemon(
  pidFile: string,
  { signal = 'SIGTERM', timeoutMs = STOP_TIMEOUT_MS }: { signal?: 'SIGTERM' | 'SIGKILL'; timeoutMs?: number } = {},
): Promise<void> {
  for (const next of signal === 'SIGTERM' ? (['SIGTERM', 'SIGKILL'] as const) : (['SIGKILL'] as const)) {
    if (await endWith(pidFile, next, timeoutMs)) {
      await rm(pidFile, { force: true });
      return;
    }
  }
  throw new Error(`The process of ${pidFile} did not end within ${timeoutMs / 1000} s of SIGKILL.`);
}

async function endWith(pidFile: string, signal: 'SIGTERM' | 'SIGKILL', timeoutMs: number): Promise<boolean> {
  const pid = await alive(pidFile);
  if (pid === undefined) return true;
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It ended between the look and the signal.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    if ((await alive(pidFile)) === undefined) return true;
    await sleep(POLL_MS);
  }
  return false;
}

/** The last lines of a daemon's log, for an error message; empty if there is no log. */
export async function logTail(logFile: string, lines = 15): Promise<string> {
  const text = await readIfThere(logFile);
  return (text ?? '').trimEnd().split('\n').slice(-lines).join('\n');
}

interface Stat {
  pid: number;
  state: string;
  threads: number;
  startTicks: string;
}

/** Fields of /proc/PID/stat (see proc(5)); the program's name, field 2, may hold spaces and brackets. */
function parseStat(text: string | undefined): Stat | undefined {
  if (!text) return undefined;
  const fromField3 = text
    .slice(text.lastIndexOf(')') + 2)
    .trimEnd()
    .split(' ');
  const [state, threads, startTicks] = [fromField3[0], fromField3[17], fromField3[19]];
  if (!state || !threads || !startTicks) return undefined;
  return { pid: Number.parseInt(text, 10), state, threads: Number(threads), startTicks };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    // ESRCH: the process ended while its /proc file was read.
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return undefined;
    throw error;
  }
}
