import type { Command } from 'commander';
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
  /** For the embedded server: further addresses to listen on, so that pods of a local cluster reach it. */
  readonly listen?: readonly string[];
  /** Takes a sentence about what takes time; stderr by default. */
  readonly log?: (line: string) => void;
}

const toStderr = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/**
 * The URL of the database, which answers and is migrated when this returns.
 * @throws StoreError
 */
export async function databaseUrl(options: Omit<ConnectOptions, 'applicationName'> = {}): Promise<string> {
  const log = options.log ?? toStderr;
  const given = options.databaseUrl ?? process.env.DATABASE_URL ?? '';
  const embedded: EmbeddedOptions = { log, ...(options.listen === undefined ? {} : { listen: options.listen }) };
  const url = given === '' ? (await ensureEmbedded(embedded)).url : given;
  const applied = await migrate(url);
  // Making the embedded database was announced already; somebody's own database is theirs to know about.
  if (applied.length > 0 && given !== '') log(`Migrated ${describeTarget(url)}: ${applied.join(', ')}.`);
  return url;
}

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

async function url(): Promise<void> {
  process.stdout.write(`${(await ensureEmbedded({ log: toStderr })).url}\n`);
}

async function migrateNow(): Promise<void> {
  const given = process.env.DATABASE_URL ?? '';
  const target = given === '' ? (await ensureEmbedded({ log: toStderr })).url : given;
  const applied = await migrate(target);
  const what = applied.length === 0 ? 'is up to date' : `was migrated: ${applied.join(', ')}`;
  toStderr(`${describeTarget(target)} ${what}.`);
}

/** Adds `database start|stop|status|url` and `migrate`. Their errors are StoreErrors, for the program to show. */
export function addDatabaseCommands(program: Command): void {
  const database = program
    .command('database')
    .description('Control the embedded Postgres, which serves when DATABASE_URL is not set');
  database.command('start').description('Start it, and make it first if need be').action(start);
  database.command('stop').description('Stop it; its data stay').action(stop);
  database.command('status').description('Show whether it runs, and where (exit 3 when it does not)').action(status);
  database.command('url').description('Print its URL, password included, and start it if need be').action(url);
  program
    .command('migrate')
    .description('Bring the schema of the database up to date ahead of time; other commands do it by themselves')
    .action(migrateNow);
}
