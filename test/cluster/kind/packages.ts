import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { withLock } from '../lock.ts';
import { CommandError, note, run, step } from '../progress.ts';
import { lookAtMachine } from './machine.ts';

const APT_ENV = { DEBIAN_FRONTEND: 'noninteractive' };
const APT_OPTIONS = ['-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300'];

/** A user's PATH often lacks the folders where Debian puts iptables, runc and ip. */
export const SYSTEM_PATH = [process.env.PATH ?? '', '/usr/local/sbin', '/usr/sbin', '/sbin'].join(delimiter);

/** The path of a program; undefined if it is not there. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of SYSTEM_PATH.split(delimiter).filter(Boolean)) {
    const path = join(folder, name);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/**
 * Makes sure that programs are there, given as program → Debian package. Missing ones are installed on Debian as root,
 * after saying so; elsewhere it throws, with `remedy` as the sentence that says what else the user can do.
 */
export async function ensurePrograms(programs: Readonly<Record<string, string>>, remedy: string): Promise<void> {
  const missing = await missingPackages(programs);
  if (missing.length === 0) return;
  const { isRoot, debianRelease } = await lookAtMachine();
  if (!debianRelease) throw new Error(`${missing.join(', ')} would be needed, and this is not Debian. ${remedy}`);
  if (!isRoot) throw new Error(`${missing.join(', ')} must be installed, which needs root. ${remedy}`);
  await withLock('apt', async () => {
    const names = await missingPackages(programs);
    if (names.length === 0) return;
    note(`Installing Debian packages: ${names.join(', ')}. Remove them with: apt-get purge ${names.join(' ')}`);
    await step(`apt-get install ${names.join(' ')}`, () => install(names), { typical: '20 s' });
  });
}

async function missingPackages(programs: Readonly<Record<string, string>>): Promise<string[]> {
  const names = new Set<string>();
  for (const [program, name] of Object.entries(programs)) if (!(await findProgram(program))) names.add(name);
  return [...names].sort();
}

async function install(names: readonly string[]): Promise<void> {
  const env = { ...APT_ENV, PATH: SYSTEM_PATH };
  // Does nothing unless an earlier install was killed half-way.
  await run('dpkg', ['--configure', '-a'], { env });
  await run('apt-get', ['update'], { env });
  try {
    await run('apt-get', ['install', ...APT_OPTIONS, ...names], { env });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new Error(`The packages ${names.join(', ')} could not be installed. ${error.message}`, { cause: error });
  }
}
