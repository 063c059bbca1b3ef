import { randomInt } from 'node:crypto';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { StoreError } from '../../ports/store.ts';

/** TCP ports: which one is free, and who has one that is not. */

/** Below the range from which systems take ports for outgoing connections, so that nobody sits on ours by chance. */
const FIRST = 20_000;
const LAST = 32_000;
const TRIES = 100;
const REACH_TIMEOUT_MS = 1_000;
const LISTENING = '0A';
const DYING_SOCKET_MS = 3_000;
const DYING_SOCKET_PAUSE_MS = 50;

/** Whether we could listen there; with port 0, whether the address is this machine's at all. */
export async function isFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** @throws StoreError when there is none */
export async function findFreePort(): Promise<number> {
  for (let n = 0; n < TRIES; n += 1) {
    const port = randomInt(FIRST, LAST);
    if (await isFree(port)) return port;
  }
  throw new StoreError('configuration', 'Found no free port for the database: set BULKHEAD_DATABASE_PORT to one.');
}

/** Whether something accepts connections there. */
export async function isReachable(host: string, port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port });
    const answer = (reachable: boolean) => {
      socket.destroy();
      resolve(reachable);
    };
    socket.setTimeout(REACH_TIMEOUT_MS, () => answer(false));
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
  });
}

/** Inodes of the sockets that listen on the port, from the kernel's table. */
async function listeners(port: number): Promise<Set<string>> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((file) => readFile(file, 'utf8').catch(() => '')),
  );
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = tables.flatMap((table) => table.split('\n').map((line) => line.trim().split(/\s+/)));
  return new Set(
    rows
      .filter((row) => row[1]?.endsWith(suffix) === true && row[3] === LISTENING)
      .map((row) => `socket:[${row[9] ?? ''}]`),
  );
}

async function hasSocket(pid: string, sockets: ReadonlySet<string>): Promise<boolean> {
  // A process can end, or be somebody else's, while it is looked at: then it is not the one we can name.
  const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const links = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')));
  return links.some((link) => sockets.has(link));
}

/**
 * Whether we can listen there, now or in a moment: a server that was just killed has its socket for a little longer.
 */
export async function becomesFree(port: number): Promise<boolean> {
  const deadline = performance.now() + DYING_SOCKET_MS;
  for (;;) {
    if (await isFree(port)) return true;
    if (performance.now() > deadline) return false;
    await sleep(DYING_SOCKET_PAUSE_MS);
  }
}

/** Names the program that listens on the port, for a message: "nginx (pid 42)". Only Linux tells. */
export async function describeHolder(port: number): Promise<string> {
  const unknown = 'another program';
  const sockets = await listeners(port);
  if (sockets.size === 0) return unknown;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    if (!(await hasSocket(pid, sockets))) continue;
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => unknown);
    return `${name.trim()} (pid ${pid})`;
  }
  return unknown;
}
