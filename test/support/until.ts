import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 50;

/**
 * Waits until `check` gives something other than null, undefined or false.
 * @returns what it gave, and after how many milliseconds
 * @throws Error naming `what` after `timeoutMs`
 */
export async function until<T>(
  what: string,
  timeoutMs: number,
  check: () => Promise<T | null | undefined | false> | T | null | undefined | false,
): Promise<{ value: T; elapsedMs: number }> {
  const start = performance.now();
  for (;;) {
    const value = await check();
    const elapsedMs = performance.now() - start;
    if (value !== null && value !== undefined && value !== false) return { value, elapsedMs };
    if (elapsedMs > timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(POLL_MS);
  }
}
