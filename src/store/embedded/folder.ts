import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { StoreError } from '../../ports/store.ts';
import { type Binaries, commandLine, explainFailure } from './binaries.ts';

/** The folder of an embedded server: what is in it, and how it comes to be. */
export interface ServerFolder {
  readonly root: string;
  /** Postgres's own files. */
  readonly data: string;
  /** Password of the role `bulkhead`, which owns the database and nothing else. */
  readonly password: string;
  /** Password of the role `bulkhead_app`, which Bulkhead runs as. The role is there when the file is. */
  readonly appPassword: string;
  /** Password of the superuser `postgres`, who may come from this machine only. */
  readonly superuserPassword: string;
  /** The port, chosen once. */
  readonly port: string;
  /** Addresses beside 127.0.0.1, one a line. */
  readonly listen: string;
  readonly hba: string;
  readonly log: string;
  /** Beside the folder, since the folder comes into being under it. */
  readonly lock: string;
}

export const ROLE = 'bulkhead';
export const APP_ROLE = 'bulkhead_app';
export const DATABASE = 'bulkhead';
export const SUPERUSER = 'postgres';

const MEGABYTE = 1024 * 1024;
const INITDB_TIMEOUT_MS = 120_000;
const run = promisify(execFile);

export function serverFolder(root: string): ServerFolder {
  return {
    root,
    data: join(root, 'data'),
    password: join(root, 'password'),
    appPassword: join(root, 'app-password'),
    superuserPassword: join(root, 'superuser-password'),
    port: join(root, 'port'),
    listen: join(root, 'listen'),
    hba: join(root, 'pg_hba.conf'),
    log: join(root, 'log'),
    lock: `${root}.lock`,
  };
}

/** @throws StoreError when the disk of `folder`, which must be there, has less than `minFreeBytes` left */
export async function requireSpace(folder: string, minFreeBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  if (freeBytes >= minFreeBytes) return;
  const megabytes = (bytes: number) => `${Math.floor(bytes / MEGABYTE)} MB`;
  throw new StoreError(
    'configuration',
    `The database needs ${megabytes(minFreeBytes)} free in ${folder}, and there are ${megabytes(freeBytes)}: ` +
      'free some, or set BULKHEAD_DATA_DIR to a folder on another disk.',
  );
}

/** Letters, digits, - and _: fits a URL, a line of a file and an SQL literal as it is. */
export const newPassword = (): string => randomBytes(32).toString('base64url');

/** The file is there whole or not at all. */
export async function writeSecret(file: string, secret: string): Promise<void> {
  await writeFile(`${file}.new`, `${secret}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** The first line of a file of the folder. */
export const readLine = async (file: string): Promise<string> =>
  ((await readFile(file, 'utf8')).split('\n')[0] ?? '').trim();

async function runInitdb(folder: ServerFolder, binaries: Binaries): Promise<void> {
  const [command, ...args] = await commandLine(binaries.initdb, [
    `--pgdata=${folder.data}`,
    `--username=${SUPERUSER}`,
    `--pwfile=${folder.superuserPassword}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--no-instructions',
  ]);
  await run(command, args, { timeout: INITDB_TIMEOUT_MS, cwd: folder.root });
}

/** Makes roles and database before the server ever listens, in Postgres's single-user mode. */
async function makeRolesAndDatabase(folder: ServerFolder, binaries: Binaries): Promise<void> {
  const statements = [
    `create role ${ROLE} login password '${await readLine(folder.password)}'`,
    `create role ${APP_ROLE} login password '${await readLine(folder.appPassword)}'`,
    `create database ${DATABASE} owner ${ROLE}`,
  ];
  const [command, ...args] = await commandLine(binaries.postgres, ['--single', '-D', folder.data, '-j', 'postgres']);
  const child = spawn(command, args, { stdio: ['pipe', 'ignore', 'pipe'], cwd: folder.root });
  const words = text(child.stderr);
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  child.stdin.end(statements.map((statement) => `${statement};\n\n`).join(''));
  const code = await exited;
  const said = await words;
  if (code !== 0 || /^.*(ERROR|FATAL|PANIC): /m.test(said))
    throw new Error(said.trim() || `postgres ended with ${code}`);
}

/** Leftovers of commands that were killed while they made a folder. */
async function removeUnfinished(folder: ServerFolder, prefix: string): Promise<void> {
  const parent = dirname(folder.root);
  for (const name of await readdir(parent)) {
    if (name.startsWith(prefix)) await rm(join(parent, name), { recursive: true, force: true, maxRetries: 5 });
  }
}

/**
 * Makes the folder with a ready-made database in it. It appears under its name only when it is whole, so a command
 * that is killed half-way leaves nothing that a later one would take for a database. Call it under the lock.
 */
export async function createFolder(folder: ServerFolder, binaries: Binaries): Promise<void> {
  const parent = dirname(folder.root);
  const prefix = `${basename(folder.root)}.new-`;
  await removeUnfinished(folder, prefix);
  const unfinished = serverFolder(await mkdtemp(join(parent, prefix)));
  try {
    await chmod(unfinished.root, 0o700);
    for (const file of [unfinished.password, unfinished.appPassword, unfinished.superuserPassword]) {
      await writeSecret(file, newPassword());
    }
    await mkdir(unfinished.data, { mode: 0o700 });
    await runInitdb(unfinished, binaries);
    await makeRolesAndDatabase(unfinished, binaries);
    await rename(unfinished.root, folder.root);
  } catch (error) {
    await rm(unfinished.root, { recursive: true, force: true, maxRetries: 5 });
    const words = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
    const said = words.trim() || (error instanceof Error ? error.message : String(error));
    throw (
      explainFailure(said) ??
      new StoreError('configuration', `The database could not be made: ${said}`, { cause: error })
    );
  }
}
