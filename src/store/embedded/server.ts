import { execFile, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile, rename, rm, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { StoreError } from '../../ports/store.ts';
import { type Binaries, commandLine, explainFailure } from './binaries.ts';
import type { ServerFolder } from './folder.ts';

/** The server as a process: is it there, start it, stop it. Its own postmaster.pid is what tells. */
export interface RunningServer {
  readonly pid: number;
  readonly port: number;
  /** False while it recovers after a crash, or shuts down. */
  readonly ready: boolean;
}

const POLL_MS = 50;
const START_TIMEOUT_MS = 120_000;
const STOP_FAST_MS = 30_000;
const STOP_AT_ONCE_MS = 10_000;
/** How long the children of a server that was killed may need to notice. */
const OLD_CHILDREN_MS = 15_000;
const MAX_LOG_BYTES = 10 * 1024 * 1024;

const run = promisify(execFile);

async function commandOf(pid: number): Promise<string> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ');
  } catch {
    // No such process, or no /proc: ps knows. Its failure means that there is no such process either.
    return await run('ps', ['-o', 'command=', '-p', String(pid)]).then(
      ({ stdout }) => stdout,
      () => '',
    );
  }
}

/** A pid alone proves nothing: after a crash it may be somebody else's by now. */
async function isServerOf(folder: ServerFolder, pid: number): Promise<boolean> {
  const command = await commandOf(pid);
  return command.includes('postgres') && command.includes(` -D ${folder.data} `);
}

/** @returns null when no server runs in the folder, whatever files say */
export async function findServer(folder: ServerFolder): Promise<RunningServer | null> {
  const file = await readFile(`${folder.data}/postmaster.pid`, 'utf8').catch(() => '');
  const lines = file.split('\n').map((line) => line.trim());
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0 || !(await isServerOf(folder, pid))) return null;
  return { pid, port: Number(lines[3] ?? 0), ready: lines[7] === 'ready' };
}

/** Polls until `done` gives something other than null. @returns null when it takes longer than `timeoutMs` */
async function poll<T>(timeoutMs: number, done: () => Promise<T | null>): Promise<T | null> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const result = await done();
    if (result !== null || performance.now() > deadline) return result;
    await sleep(POLL_MS);
  }
}

async function logSince(folder: ServerFolder, offset: number): Promise<string> {
  return (await readFile(folder.log).catch(() => Buffer.alloc(0))).subarray(offset).toString('utf8');
}

async function rotateLog(folder: ServerFolder): Promise<number> {
  const size = (await stat(folder.log).catch(() => null))?.size ?? 0;
  if (size < MAX_LOG_BYTES) return size;
  await rename(folder.log, `${folder.log}.old`);
  return 0;
}

function startFailure(folder: ServerFolder, words: string): StoreError {
  const known = explainFailure(words);
  if (known !== null) return known;
  const reasons = words.split('\n').filter((line) => /(FATAL|PANIC|ERROR|DETAIL|HINT): /.test(line));
  const said = reasons.map((line) => line.replace(/^.*?(FATAL|PANIC|ERROR|DETAIL|HINT): +/, '')).join(' ');
  return new StoreError(
    'configuration',
    `The database did not start: ${said || words.trim()} (its log: ${folder.log})`,
  );
}

/** One attempt. @returns the words of a server that ended instead of becoming ready, or the server */
async function attemptStart(
  folder: ServerFolder,
  binaries: Binaries,
  args: readonly string[],
): Promise<RunningServer | string> {
  const offset = await rotateLog(folder);
  const [command, ...rest] = await commandLine(binaries.postgres, ['-D', folder.data, ...args]);
  const log = openSync(folder.log, 'a', 0o600);
  // A session of its own, so that neither Ctrl-C nor the end of this command reaches it.
  const child = spawn(command, rest, {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: folder.root,
    env: { PATH: process.env.PATH, LC_ALL: 'C' },
  });
  closeSync(log);
  let ended: string | null = null;
  child.once('exit', () => {
    ended ??= '';
  });
  child.once('error', (error) => {
    ended ??= error.message;
  });
  child.unref();
  const server = await poll(START_TIMEOUT_MS, async () => {
    if (ended !== null) return ended;
    const found = await findServer(folder);
    return found?.ready === true ? found : null;
  });
  if (server === null) throw startFailure(folder, `it is not ready after ${START_TIMEOUT_MS / 1000} s`);
  return typeof server === 'string' ? `${server}\n${await logSince(folder, offset)}` : server;
}

/**
 * Starts the server as a daemon and waits until it takes connections, which after a crash includes its recovery. Call
 * it under the lock, when {@link findServer} found none.
 * @param args settings, as Postgres takes them
 */
export async function startServer(
  folder: ServerFolder,
  binaries: Binaries,
  args: readonly string[],
): Promise<RunningServer> {
  // Postgres trusts the pid in this file, and refuses to start when another program has got it since. A second server
  // is held off all the same: by the shared memory, whose key is the folder's inode.
  await rm(`${folder.data}/postmaster.pid`, { force: true });
  const deadline = performance.now() + OLD_CHILDREN_MS;
  for (;;) {
    const result = await attemptStart(folder, binaries, args);
    if (typeof result !== 'string') return result;
    const oldChildrenRun = /pre-existing shared memory block/.test(result);
    if (!oldChildrenRun || performance.now() > deadline) throw startFailure(folder, result);
    await sleep(POLL_MS * 10);
  }
}

/** Waits until a server that is recovering is ready, or one that shuts down is gone. */
export async function settle(folder: ServerFolder): Promise<RunningServer | null> {
  const settled = await poll(START_TIMEOUT_MS, async () => {
    const server = await findServer(folder);
    return server === null ? 'gone' : server.ready ? server : null;
  });
  if (settled === null) {
    throw new StoreError('unavailable', `The database neither starts nor stops; its log is ${folder.log}`);
  }
  return settled === 'gone' ? null : settled;
}

/** Ends the server: first so that clients lose their connections but nothing needs recovery, then less politely. */
export async function stopServer(folder: ServerFolder, server: RunningServer): Promise<void> {
  for (const [signal, timeoutMs] of [
    ['SIGINT', STOP_FAST_MS],
    ['SIGQUIT', STOP_AT_ONCE_MS],
  ] as const) {
    if (await isServerOf(folder, server.pid)) process.kill(server.pid, signal);
    const gone = await poll(timeoutMs, async () => ((await isServerOf(folder, server.pid)) ? null : true));
    if (gone !== null) return;
  }
  throw new StoreError('unavailable', `The database (pid ${server.pid}) does not stop; its log is ${folder.log}`);
}
