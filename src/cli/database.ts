import { type Command, Option } from 'commander';
import { StoreError } from '../ports/store.ts';
import { type EmbeddedOptions, embeddedStatus, ensureEmbedded, stopEmbedded } from '../store/embedded.ts';
import { describeTarget } from '../store/errors.ts';
import { migrate } from '../store/migrate.ts';
import { openStore, type Store } from '../store/open.ts';

/** How commands come to their database: DATABASE_URL, or the embedded server without it. */
export interface ConnectOptions {
  /** What `pg_stat_activity` shows; "bulkhead" and the command's name. */
  readonly applicationName: string;
  /** By default $DATABASE_URL; empty or undefined is the embedded server. */
  readonly databaseUrl?: string | undefined;
  /** Of the owner, over a direct connection; by default $DATABASE_ADMIN_URL, and without it the same as databaseUrl. */
  readonly adminUrl?: string | undefined;
  /** For the embedded server: further addresses to listen on, so that pods of a local cluster reach it. */
  readonly listen?: readonly string[];
  /** Takes a sentence about what takes time; stderr by default. */
  readonly log?: (line: string) => void;
}

type WhereOptions = Omit<ConnectOptions, 'applicationName'>;

/** The same database for two roles. */
export interface DatabaseUrls {
  /** Of the role that Bulkhead runs as. Holds its password. */
  readonly url: string;
  /** Of the role that owns the tables, for migrations and what else changes the schema. */
  readonly adminUrl: string;
  /** Whether one role does for both: nobody has named another. */
  readonly isOneRole: boolean;
  readonly isEmbedded: boolean;
}

const PERMISSION_DENIED = '42501';

const toStderr = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const variable = (name: string): string => process.env[name]?.trim() ?? '';

/** The role that a URL names; undefined where it leaves that to the surroundings. */
function roleOf(url: string): string | undefined {
  try {
    return decodeURIComponent(new URL(url).username) || undefined;
  } catch {
    // What is wrong with the URL is said, in a sentence, by the connection that is tried with it.
    return undefined;
  }
}

/** Where the database is, started if it is ours. Not migrated yet. @throws StoreError */
export async function databaseUrls(options: WhereOptions = {}): Promise<DatabaseUrls> {
  const url = options.databaseUrl ?? variable('DATABASE_URL');
  if (url !== '') {
    // A URL that a program hands over is complete; the owner's from the environment may be of another database.
    const owner = options.adminUrl ?? (options.databaseUrl === undefined ? variable('DATABASE_ADMIN_URL') : '');
    return { url, adminUrl: owner || url, isOneRole: owner === '', isEmbedded: false };
  }
  if (options.databaseUrl === undefined && variable('DATABASE_ADMIN_URL') !== '') {
    throw new StoreError(
      'configuration',
      'DATABASE_ADMIN_URL is set and DATABASE_URL is not: set both, or neither for the embedded server.',
    );
  }
  const log = options.log ?? toStderr;
  const embedded: EmbeddedOptions = { log, ...(options.listen === undefined ? {} : { listen: options.listen }) };
  const server = await ensureEmbedded(embedded);
  return { url: server.url, adminUrl: server.adminUrl, isOneRole: false, isEmbedded: true };
}

/**
 * Does what only the owner may.
 * @throws StoreError, with what to set where the role that was named may not do it
 */
export async function asOwner<T>(urls: DatabaseUrls, work: (adminUrl: string) => Promise<T>): Promise<T> {
  try {
    return await work(urls.adminUrl);
  } catch (error) {
    const cause = error instanceof StoreError ? error.cause : null;
    const isDenied = cause instanceof Error && 'code' in cause && cause.code === PERMISSION_DENIED;
    if (!isDenied || !urls.isOneRole) throw error;
    throw new StoreError(
      'configuration',
      `${describeTarget(urls.url)}: its role may not do this (${cause.message}): set DATABASE_ADMIN_URL to the URL of the owner, over a direct connection.`,
      { cause: error },
    );
  }
}

/** @returns the names of the files applied. @throws StoreError */
function migrateAs(urls: DatabaseUrls): Promise<string[]> {
  const appRole = urls.isOneRole ? undefined : roleOf(urls.url);
  return asOwner(urls, (adminUrl) => migrate(adminUrl, appRole === undefined ? {} : { appRole }));
}

/** Where the database is, which answers and is migrated when this returns. @throws StoreError */
export async function readyDatabase(options: WhereOptions = {}): Promise<DatabaseUrls> {
  const urls = await databaseUrls(options);
  const applied = await migrateAs(urls);
  // Making the embedded database was announced already; somebody's own database is theirs to know about.
  if (applied.length > 0 && !urls.isEmbedded) {
    (options.log ?? toStderr)(`Migrated ${describeTarget(urls.adminUrl)}: ${applied.join(', ')}.`);
  }
  return urls;
}

/** The URL of the role that Bulkhead runs as, of a database that is ready. @throws StoreError */
export const databaseUrl = async (options: WhereOptions = {}): Promise<string> => (await readyDatabase(options)).url;

/** Opens the store, started and migrated where that is needed. @throws StoreError */
export async function connect(options: ConnectOptions): Promise<Store> {
  return await openStore({ url: await databaseUrl(options), applicationName: options.applicationName });
}

async function start(): Promise<void> {
  const { started } = await ensureEmbedded({ log: toStderr });
  if (!started) toStderr('Postgres runs already.');
}

async function stop(): Promise<void> {
  toStderr((await stopEmbedded({ log: toStderr })) ? 'Postgres is stopped.' : 'Postgres does not run.');
}

async function status(): Promise<void> {
  const found = await embeddedStatus();
  const lines = [`state:  ${found.state}`, `folder: ${found.folder}`, `log:    ${found.log}`];
  if (found.state === 'running') {
    lines.push(
      `pid:    ${found.pid}`,
      `listen: ${found.listen.map((address) => `${address}:${found.port}`).join(', ')}`,
    );
  } else {
    // As systemctl and pg_ctl do: 3 is "does not run".
    process.exitCode = 3;
  }
  process.stdout.write(`${lines.join('\n')}\n`);
}

async function url(options: { readonly admin?: true }): Promise<void> {
  const { url: appUrl, adminUrl } = await ensureEmbedded({ log: toStderr });
  process.stdout.write(`${options.admin ? adminUrl : appUrl}\n`);
}

async function migrateNow(): Promise<void> {
  const urls = await databaseUrls();
  if (urls.isOneRole) {
    toStderr(
      'DATABASE_ADMIN_URL is not set: migrating as the role of DATABASE_URL, which then owns what it works with.',
    );
  }
  const applied = await migrateAs(urls);
  const what = applied.length === 0 ? 'is up to date' : `was migrated: ${applied.join(', ')}`;
  toStderr(`${describeTarget(urls.adminUrl)} ${what}.`);
}

/** Adds `database start|stop|status|url` and `migrate`. Their errors are StoreErrors, for the program to show. */
export function addDatabaseCommands(program: Command): void {
  const database = program
    .command('database')
    .description('Control the embedded Postgres, which serves when DATABASE_URL is not set');
  database.command('start').description('Start it, and make it first if need be').action(start);
  database.command('stop').description('Stop it; its data stay').action(stop);
  database.command('status').description('Show whether it runs, and where (exit 3 when it does not)').action(status);
  database
    .command('url')
    .description('Print its URL, password included, and start it if need be')
    .addOption(new Option('--admin', 'of the role that owns the tables, for DATABASE_ADMIN_URL'))
    .action(url);
  program
    .command('migrate')
    .description(
      'Bring the schema of the database up to date as its owner (DATABASE_ADMIN_URL, a direct connection), and give the role of DATABASE_URL the rights it needs; other commands do it by themselves where they can',
    )
    .action(migrateNow);
}
