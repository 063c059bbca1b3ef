import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePrograms } from '../cluster/kind/packages.ts';

/** Clocks that go wrong, for one process: Debian's libfaketime. */

const LIBRARY = 'libfaketimeMT.so.1';
const ROOT = '/usr/lib';
/** Where the library keeps what the processes of one start share: files that it leaves there when they are killed. */
const SHARED_MEMORY = '/dev/shm';
const SHARED_FILE = /^(?:faketime_shm|sem\.faketime_sem)_(\d+)$/;

/** Debian keeps it in the folder of the machine's architecture. */
function findLibrary(): string | undefined {
  const folders = existsSync(ROOT) ? readdirSync(ROOT) : [];
  return folders.map((folder) => join(ROOT, folder, 'faketime', LIBRARY)).find((path) => existsSync(path));
}

let sweeping = false;

/**
 * - `offset`: the time of day is wrong. The monotonic clock keeps its rate and its zero, as it does on a machine whose
 *   date somebody has set wrong.
 * - `rate`: the machine's oscillator is wrong, so the monotonic clock and all timers are wrong with it.
 */
export type ClockFault =
  | { readonly kind: 'offset'; readonly hours: number }
  | { readonly kind: 'rate'; readonly factor: number };

/** What to add to a process's environment, so that its clocks go wrong like this. Installs the library if need be. */
export async function wrongClock(fault: ClockFault): Promise<Record<string, string>> {
  if (!findLibrary()) {
    // A library and no program: it is never found on the PATH, and so installed.
    await ensurePrograms({ [LIBRARY]: 'libfaketime' }, 'Install libfaketime by hand.');
  }
  const library = findLibrary();
  if (!library) throw new Error(`libfaketime is installed, but ${LIBRARY} is not below ${ROOT}.`);
  sweepClocks();
  if (!sweeping) process.once('exit', sweepClocks);
  sweeping = true;
  // Only what asks for the time is to be lied to; files keep their dates.
  const shared = { LD_PRELOAD: library, NO_FAKE_STAT: '1' };
  return fault.kind === 'offset'
    ? { ...shared, FAKETIME: `${fault.hours >= 0 ? '+' : ''}${fault.hours}h`, FAKETIME_DONT_FAKE_MONOTONIC: '1' }
    : { ...shared, FAKETIME: `+0 x${fault.factor}`, FAKETIME_DONT_FAKE_MONOTONIC: '0' };
}

/** Removes what processes that have ended left of their clocks. */
export function sweepClocks(): void {
  for (const name of existsSync(SHARED_MEMORY) ? readdirSync(SHARED_MEMORY) : []) {
    const pid = SHARED_FILE.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(SHARED_MEMORY, name), { force: true });
  }
}
