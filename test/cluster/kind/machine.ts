import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** Bit of CAP_SYS_RESOURCE in the masks of /proc/PID/status, see capabilities(7). */
const CAP_SYS_RESOURCE = 24n;

/** What is special about this machine. Each fact decides one thing; nothing is assumed from another. */
export interface Machine {
  readonly isRoot: boolean;
  /** The Debian release, e.g. "bookworm"; undefined elsewhere. */
  readonly debianRelease: string | undefined;
  /**
   * No process here can have CAP_SYS_RESOURCE, as in some sandboxes. Then `docker run --privileged` needs a runc that
   * does not ask for it, and no process may lower its OOM score.
   */
  readonly lacksSysResource: boolean;
}

export async function lookAtMachine(): Promise<Machine> {
  return {
    isRoot: process.getuid?.() === 0,
    debianRelease: await debianRelease(),
    lacksSysResource: await lacksSysResource(),
  };
}

async function debianRelease(): Promise<string | undefined> {
  if (!existsSync('/etc/os-release')) return undefined;
  const text = await readFile('/etc/os-release', 'utf8');
  if (!/^ID=debian$/m.test(text)) return undefined;
  return /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(text)?.[1];
}

async function lacksSysResource(): Promise<boolean> {
  if (!existsSync('/proc/self/status')) return false;
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(await readFile('/proc/self/status', 'utf8'))?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> CAP_SYS_RESOURCE) & 1n) === 0n;
}
