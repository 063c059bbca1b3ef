import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pRetry from 'p-retry';
import { StoreError } from '../ports/store.ts';
import { areGranted, grant, requireRole } from './grants.ts';
import { type Database, openDatabase, type Sql } from './pool.ts';

/**
 * Brings a database's schema to what this Bulkhead knows: the numbered files of migrations/, in order, each in a
 * transaction of its own together with its record. Interrupted anywhere, the next call goes on where it stopped.
 * Why no library: docs/decisions/0005-own-migration-runner.md.
 */

/** One file of migrations/. */
export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file: an applied file must never be changed. */
  readonly hash: string;
  /**
   * The oldest Bulkhead, by the newest version it knows, that works on a schema with this file applied: its first line is
   * `-- oldest reader: N`. null: none that does not know the file.
   */
  readonly oldestReader: number | null;
}

interface Applied {
  readonly version: number;
  readonly name: string;
  readonly hash: string;
  /** Absent before version 2. */
  readonly oldest_reader?: number | null;
}

export interface MigrateOptions {
  /** The role that Bulkhead runs as, which gets the rights it needs; left out: the one that migrates. */
  readonly appRole?: string;
  /** For tests: other files than those of this Bulkhead. */
  readonly known?: readonly Migration[];
}

const FOLDER = join(import.meta.dirname, 'migrations');
const FILE = /^(\d{4})_[a-z0-9_]+\.sql$/;
const OLDEST_READER = /^-- oldest reader: (\d+)$/m;
/** Key of the advisory lock while a migration runs. */
const LOCK = 7_310_867_522;
/** Large tables take their time, and so does the other one who migrates right now. */
const STATEMENT_TIMEOUT_MS = 600_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** Who waits for a lock on a table makes all others wait behind it, so it gives up soon and comes again. */
const LOCK_TIMEOUT_MS = 2_000;
const LOCK_PAUSE_MS = 1_000;
const LOCK_NOT_AVAILABLE = '55P03';
const INSUFFICIENT_PRIVILEGE = '42501';
/** The version that brought partitions and a role for run time. */
const UPKEEP_SINCE = 2;
const PARTITIONS_AHEAD = 12;

function parseMigration(name: string, version: number, sql: string): Migration {
  const oldest = OLDEST_READER.exec(sql.split('\n')[0] ?? '')?.[1];
  const hash = createHash('sha256').update(sql).digest('hex');
  return { version, name, sql, hash, oldestReader: oldest === undefined ? null : Number(oldest) };
}

/** The files of a folder, in order. @throws Error when one is misnamed or a number is missing or doubled */
export async function readMigrations(folder = FOLDER): Promise<Migration[]> {
  const files = (await readdir(folder)).sort();
  return await Promise.all(
    files.map(async (name, index) => {
      const version = Number(FILE.exec(name)?.[1]);
      if (version !== index + 1) {
        throw new Error(`${join(folder, name)}: expected migration number ${index + 1}, as NNNN_name.sql`);
      }
      return parseMigration(name, version, await readFile(join(folder, name), 'utf8'));
    }),
  );
}

// Both ask the catalogs' tables. to_regclass() and its like answer from a cache that is not refreshed while a
// transaction waits for a lock, and so miss what the former holder of the lock has just made.
async function hasSchema(sql: Sql): Promise<boolean> {
  return (await sql.query(`select from pg_namespace where nspname = 'bulkhead'`)).length > 0;
}

async function hasBookkeeping(sql: Sql): Promise<boolean> {
  const rows = await sql.query(
    `select from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'bulkhead' and c.relname = 'migration'`,
  );
  return rows.length > 0;
}

async function readApplied(sql: Sql): Promise<Applied[]> {
  if (!(await hasBookkeeping(sql))) return [];
  return await sql.query<Applied>('select * from bulkhead.migration order by version');
}

/** The migrations that are still to run. @throws StoreError when the schema is too new, or an applied file has changed */
function pendingAfter(applied: readonly Applied[], known: readonly Migration[], target: string): Migration[] {
  const newest = applied.at(-1)?.version ?? 0;
  const isUnreadable = ({ version, oldest_reader }: Applied): boolean =>
    version > known.length && (oldest_reader ?? version) > known.length;
  if (applied.some(isUnreadable)) {
    throw new StoreError(
      'configuration',
      `${target} was set up by a newer Bulkhead (schema ${newest}; this one knows up to ${known.length}): ` +
        'upgrade Bulkhead.',
    );
  }
  for (const { version, name, hash } of applied) {
    if (version > known.length || known[version - 1]?.hash === hash) continue;
    throw new StoreError(
      'configuration',
      `${target} was set up with another form of ${name} than this Bulkhead has: use the Bulkhead that set it up, ` +
        'or another database.',
    );
  }
  return known.slice(newest);
}

async function makeBookkeeping(sql: Sql): Promise<void> {
  // Asked first, since "if not exists" wants the right to make a schema even where it is there.
  if (!(await hasSchema(sql))) {
    await sql.query('create schema bulkhead');
    await sql.query(
      `comment on schema bulkhead is 'Goals of stream jobs, and what was seen of them. See bulkhead.job.'`,
    );
  }
  await sql.query(`
    create table if not exists bulkhead.migration (
      version integer primary key,
      name text not null,
      hash text not null,
      applied_at timestamptz not null default clock_timestamp(),
      oldest_reader integer
    )`);
  await sql.query(`comment on table bulkhead.migration is 'The files of src/store/migrations that were applied.'`);
}

/** SQLSTATE of what the database said. */
function codeOf(error: unknown): unknown {
  const cause = error instanceof StoreError ? error.cause : null;
  return cause instanceof Error && 'code' in cause ? cause.code : null;
}

/**
 * Does `work` while nobody else migrates, and in a transaction that waits for no lock on a table for long: the operators
 * that run meanwhile would wait behind it.
 */
export async function exclusively<T>(db: Database, work: (sql: Sql) => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const attempt = () =>
    db.transaction(async (sql) => {
      await sql.query('select pg_advisory_xact_lock($1::bigint)', [LOCK]);
      await sql.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
      return await work(sql);
    });
  return await pRetry(attempt, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: LOCK_PAUSE_MS,
    factor: 1,
    randomize: true,
    shouldRetry: ({ error }) =>
      codeOf(error) === LOCK_NOT_AVAILABLE && performance.now() - startedAt < STATEMENT_TIMEOUT_MS,
  });
}

/** Applies the first migration that is still to run. @returns it, or null when there is none */
async function applyNext(db: Database, known: readonly Migration[]): Promise<Migration | null> {
  return await exclusively(db, async (sql) => {
    const next = pendingAfter(await readApplied(sql), known, db.target)[0];
    if (next === undefined) return null;
    if (next.version === 1) await makeBookkeeping(sql);
    await sql.query(next.sql);
    await sql.query('insert into bulkhead.migration (version, name, hash, oldest_reader) values ($1, $2, $3, $4)', [
      next.version,
      next.name,
      next.hash,
      next.oldestReader,
    ]);
    return next;
  });
}

async function needsUpkeep(sql: Sql, appRole: string | undefined): Promise<boolean> {
  const [row] = await sql.query<{ lacks: boolean }>(
    `select bool_or(to_regclass('bulkhead.' || parent || to_char(
       (now() at time zone 'utc') + make_interval(months => $1), '_YYYY_MM')) is null) as lacks
     from unnest(array['event', 'scaler_revision']) parent`,
    [PARTITIONS_AHEAD],
  );
  return row?.lacks === true || (appRole !== undefined && !(await areGranted(sql, appRole)));
}

/** What every call makes sure of beside the files: partitions for a year, and the rights of the role that runs. */
async function keepUp(db: Database, appRole: string | undefined): Promise<void> {
  const [me] = await db.query<{ name: string; owns: boolean }>(
    `select current_user::text as name, pg_has_role(nspowner, 'usage') as owns
     from pg_namespace where nspname = 'bulkhead'`,
  );
  // With the rights of run time alone there is nothing to keep up; whoever has the owner's does it.
  if (me?.owns !== true) return;
  const role = appRole === me.name ? undefined : appRole;
  if (!(await needsUpkeep(db, role))) return;
  await exclusively(db, async (sql) => {
    await sql.query('select bulkhead.make_partitions($1)', [PARTITIONS_AHEAD]);
    if (role !== undefined) await grant(sql, role);
  });
}

/**
 * Lets an older Bulkhead work on a newer schema that says it may.
 * @throws StoreError `configuration` when the schema is too new for this Bulkhead, or older (run `bulkhead migrate`)
 */
export async function requireCurrentSchema(db: Database, known: readonly Migration[]): Promise<void> {
  const applied = await readApplied(db).catch((error: unknown) => {
    if (codeOf(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new StoreError(
      'configuration',
      `${db.target}: this role has no rights in the store yet: run "bulkhead migrate" with the owner's URL in ` +
        'DATABASE_ADMIN_URL and this one in DATABASE_URL.',
      { cause: error },
    );
  });
  if (pendingAfter(applied, known, db.target).length === 0) return;
  throw new StoreError('configuration', `${db.target} is not set up for this Bulkhead: run "bulkhead migrate".`);
}

/**
 * Migrates the database at `url`, which is of the owner where something is to be done. Safe to call by several at once
 * and again; in order already, it takes no lock and changes nothing.
 * @returns the names of the files applied by this call
 * @throws StoreError `configuration` when the schema is too new for this Bulkhead, a right or the role for run time is
 *   missing; `unavailable` when nobody answers
 */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<string[]> {
  const known = options.known ?? (await readMigrations());
  const db = await openDatabase({
    url,
    applicationName: 'bulkhead migrate',
    maxConnections: 1,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  try {
    if (options.appRole !== undefined) await requireRole(db, options.appRole, db.target);
    const before = await readApplied(db);
    const applied: string[] = [];
    if (pendingAfter(before, known, db.target).length > 0) {
      for (let next = await applyNext(db, known); next !== null; next = await applyNext(db, known)) {
        applied.push(next.name);
      }
    }
    // A newer Bulkhead than this one keeps up what it has made.
    const isNewer = (before.at(-1)?.version ?? 0) > known.length;
    if (!isNewer && known.length >= UPKEEP_SINCE) await keepUp(db, options.appRole);
    return applied;
  } finally {
    await db.close();
  }
}
