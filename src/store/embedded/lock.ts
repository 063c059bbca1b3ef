import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { StoreError } from '../../ports/store.ts';

/**
 * A lock between processes. Node has none of its own, and a lock file made by hand stays behind after a SIGKILL. So
 * SQLite's is borrowed: it is the operating system's lock on a file, which ends with the process that holds it.
 */

const TRY_EVERY_MS = 50;
const SAY_AFTER_MS = 2_000;
const GIVE_UP_AFTER_MS = 180_000;

const isBusy = (error: unknown): boolean => error instanceof Error && 'errcode' in error && error.errcode === 5;

function tryLock(file: string): DatabaseSync | null {
  const handle = new DatabaseSync(file, { timeout: 0 });
  try {
    handle.exec('begin exclusive');
    return handle;
  } catch (error) {
    handle.close();
    if (isBusy(error)) return null;
    throw error;
  }
}

/** Runs `work` while no other process does so under the same file. The file stays. */
export async function withLock<T>(file: string, log: (line: string) => void, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  let said = false;
  for (;;) {
    const handle = tryLock(file);
    if (handle !== null) {
      try {
        return await work();
      } finally {
        handle.close();
      }
    }
    const waitedMs = performance.now() - startedAt;
    if (waitedMs > GIVE_UP_AFTER_MS) {
      throw new StoreError('unavailable', `Another command has held ${file} for minutes: end it, then try again.`);
    }
    if (!said && waitedMs > SAY_AFTER_MS) {
      said = true;
      log('Another command starts or stops the database; waiting for it.');
    }
    await sleep(TRY_EVERY_MS);
  }
}
