import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 200;

/**
 * Runs `fn` while no other call on this machine, in this process or another, runs under the same `name`.
 *
 * The lock is an abstract Unix socket: the kernel lets one process hold a name and frees it when that process ends in
 * whatever way, so a SIGKILL leaves no stale lock. `onWait` is called once if someone else holds the lock.
 */
export async function withLock<T>(name: string, fn: () => Promise<T>, onWait?: () => void): Promise<T> {
  const address = `\0bulkhead-${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
  let holder = await tryListen(address);
  if (!holder) onWait?.();
  while (!holder) {
    await sleep(POLL_MS);
    holder = await tryListen(address);
  }
  try {
    return await fn();
  } finally {
    holder.close();
  }
}

function tryListen(address: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(address, () => resolve(server));
  });
}
