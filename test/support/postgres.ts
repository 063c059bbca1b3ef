import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import pg from 'pg';
import { withLock } from '../../src/store/embedded/lock.ts';
import { findFreePort } from '../../src/store/embedded/port.ts';
import { type EmbeddedServer, ensureEmbedded, stopEmbedded } from '../../src/store/embedded.ts';
import { migrate, readMigrations } from '../../src/store/migrate.ts';
import { type OpenOptions, openStore, type Store } from '../../src/store/open.ts';

/**
 * A real Postgres for tests: a server of its own for each test process (or one for a whole run, when the runner starts
 * it with {@link startSharedServer}), and in it a fresh, migrated database for each test, cloned from a template.
 */
export interface TestDatabase {
  /** Of the role that Bulkhead runs as, as in production. */
  readonly url: string;
  /** Of the role that owns the database, for tests that run SQL of their own. */
  readonly adminUrl: string;
  readonly superuserUrl: string;
  readonly store: Store;
  /** Closes the store and drops the database. */
  [Symbol.asyncDispose](): Promise<void>;
}

type Server = Pick<EmbeddedServer, 'url' | 'adminUrl' | 'appRole' | 'superuserUrl'>;

/** Holds the shared server's addresses as JSON in the environment of the test processes. */
const SHARED = 'BULKHEAD_TEST_SERVER';
const FOLDER = resolve(import.meta.dirname, '../../.bulkhead/test');
const OWN_FOLDER = join(FOLDER, String(process.pid));
/** Nothing here outlives the process, so nothing has to outlive a power cut. */
const SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', autovacuum: 'off' };
const TEMPLATE_LOCK = 20_260_117;
const STOP_WAIT_MS = 3_000;

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // ESRCH: no such process. EPERM cannot be: everything here is started by the same user.
    return false;
  }
};

/** Ends the servers of earlier processes that were killed before they could do so, and removes their files. */
async function sweep(): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  await withLock(join(FOLDER, 'sweep.lock'), console.error, async () => {
    const owners = (await readdir(FOLDER)).filter((name) => /^\d+$/.test(name) && !exists(Number(name)));
    for (const owner of owners) {
      for (const name of await readdir(join(FOLDER, owner))) {
        if (!name.endsWith('.lock')) await stopEmbedded({ folder: join(FOLDER, owner, name) });
      }
      await rm(join(FOLDER, owner), { recursive: true, force: true, maxRetries: 5 });
    }
  });
}

/** The last thing a process does, so without await: ends its servers at once and removes their files. */
function discardAll(): void {
  const pidFiles = readdirSync(OWN_FOLDER).map((name) => join(OWN_FOLDER, name, 'data/postmaster.pid'));
  for (const file of pidFiles.filter((name) => existsSync(name))) {
    const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
    if (pid > 0 && pid !== process.pid && exists(pid)) process.kill(pid, 'SIGQUIT');
  }
  const deadline = performance.now() + STOP_WAIT_MS;
  const clock = new Int32Array(new SharedArrayBuffer(4));
  while (pidFiles.some((file) => existsSync(file)) && performance.now() < deadline) Atomics.wait(clock, 0, 0, 10);
  rmSync(OWN_FOLDER, { recursive: true, force: true, maxRetries: 5 });
}

async function makeOwnFolder(): Promise<string> {
  await sweep();
  await mkdir(OWN_FOLDER, { recursive: true });
  process.once('exit', discardAll);
  return OWN_FOLDER;
}

let made: Promise<string> | undefined;

/** A folder for servers: all that are started in it end with this process, or when a later one sweeps. */
export async function ownFolder(): Promise<string> {
  made ??= makeOwnFolder();
  return await made;
}

/** A server of this process's own; with a name, one beside that which all tests share. */
export async function startServer(name = 'shared', settings: Record<string, string> = {}): Promise<Server> {
  return await ensureEmbedded({
    folder: join(await ownFolder(), name),
    port: await findFreePort(),
    settings: { ...SETTINGS, ...settings },
  });
}

let alone = false;

/**
 * The databases of this process get a server of their own: for tests that count on nobody else's transactions, which hold
 * the horizon of every database of a server back.
 */
export function useOwnServer(): void {
  alone = true;
}

let started: Promise<Server> | undefined;

async function server(): Promise<Server> {
  const shared = alone ? undefined : process.env[SHARED];
  if (shared !== undefined) return JSON.parse(shared) as Server;
  started ??= startServer();
  return await started;
}

/**
 * For a test runner: starts one server for all the test processes it will spawn. It ends with the runner.
 * @returns what to add to their environment
 */
export async function startSharedServer(): Promise<Record<string, string>> {
  const { url, adminUrl, appRole, superuserUrl } = await server();
  return { [SHARED]: JSON.stringify({ url, adminUrl, appRole, superuserUrl }) };
}

/** The same server's URL for another database. */
export function inDatabase(url: string, database: string): string {
  const there = new URL(url);
  there.pathname = `/${database}`;
  return there.href;
}

/** Runs one statement on a connection of its own. */
export async function sql<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, application_name: 'test' });
  await client.connect();
  try {
    return (await client.query<Row>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

/** Makes the migrated template, once for each state of the migrations; several processes may want it at once. */
async function makeTemplate(): Promise<string> {
  const { adminUrl, appRole, superuserUrl } = await server();
  const name = `template_${(await readMigrations()).at(-1)?.hash.slice(0, 16)}`;
  const client = new pg.Client({ connectionString: superuserUrl });
  await client.connect();
  try {
    await client.query('select pg_advisory_lock($1)', [TEMPLATE_LOCK]);
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1 and datistemplate', [name]);
    if (rowCount === 0) {
      await client.query(`drop database if exists ${name} with (force)`);
      await client.query(`create database ${name} owner bulkhead`);
      await migrate(inDatabase(adminUrl, name), { appRole });
      await client.query(`alter database ${name} is_template true`);
    }
    return name;
  } finally {
    await client.end();
  }
}

let template: Promise<string> | undefined;
let databases = 0;

export interface EmptyDatabase extends Server {
  readonly name: string;
}

/** An empty database without tables. */
export async function emptyDatabase(from = 'template0'): Promise<EmptyDatabase> {
  const { url, adminUrl, appRole, superuserUrl } = await server();
  databases += 1;
  const name = `test_${process.pid}_${databases}`;
  await sql(superuserUrl, `create database ${name} owner bulkhead template ${from}`);
  return {
    url: inDatabase(url, name),
    adminUrl: inDatabase(adminUrl, name),
    appRole,
    superuserUrl: inDatabase(superuserUrl, name),
    name,
  };
}

/** A migrated database with nothing in it, and no store that is open on it. */
export async function emptyStore(): Promise<EmptyDatabase> {
  template ??= makeTemplate();
  return await emptyDatabase(await template);
}

/** A migrated database and a store on it, with a store id of its own. */
export async function testDatabase(options: Partial<OpenOptions> = {}): Promise<TestDatabase> {
  const { url, adminUrl, superuserUrl, name } = await emptyStore();
  await sql(adminUrl, 'update bulkhead.store set id = gen_random_uuid()');
  const store = await openStore({ applicationName: 'test', ...options, url: options.url ?? url });
  return {
    url,
    adminUrl,
    superuserUrl,
    store,
    [Symbol.asyncDispose]: async () => {
      await store.close();
      await sql((await server()).superuserUrl, `drop database ${name} with (force)`);
    },
  };
}
