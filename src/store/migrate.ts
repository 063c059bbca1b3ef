import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError } from '../ports/store.ts';
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
}

interface Applied {
  readonly version: number;
  readonly name: string;
  readonly hash: string;
}

const FOLDER = join(import.meta.dirname, 'migrations');
const FILE = /^(\d{4})_[a-z0-9_]+\.sql$/;
/** Key of the advisory lock while a migration runs. */
const LOCK = 7_310_867_522;
/** Large tables take their time, and so does the other one who migrates right now. */
const STATEMENT_TIMEOUT_MS = 600_000;
const CONNECT_TIMEOUT_MS = 5_000;

/** The files of a folder, in order. @throws Error when one is misnamed or a number is missing or doubled */
export async function readMigrations(folder = FOLDER): Promise<Migration[]> {
  const files = (await readdir(folder)).sort();
  return await Promise.all(
    files.map(async (name, index) => {
      const version = Number(FILE.exec(name)?.[1]);
      if (version !== index + 1) {
        throw new Error(`${join(folder, name)}: expected migration number ${index + 1}, as NNNN_name.sql`);
      }
      const sql = await readFile(join(folder, name), 'utf8');
      return { version, name, sql, hash: createHash('sha256').update(sql).digest('hex') };
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
  return await sql.query<Applied>('select version, name, hash from bulkhead.migration order by version');
}

/** The migrations that are still to run. @throws StoreError when the schema is newer, or an applied file has changed */
function pendingAfter(applied: readonly Applied[], known: readonly Migration[], target: string): Migration[] {
  const newest = applied.at(-1)?.version ?? 0;
  if (newest > known.length) {
    throw new StoreError(
      'configuration',
      `${target} was set up by a newer Bulkhead (schema ${newest}; this one knows up to ${known.length}): ` +
        'upgrade Bulkhead.',
    );
  }
  for (const { version, name, hash } of applied) {
    if (known[version - 1]?.hash === hash) continue;
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
      applied_at timestamptz not null default clock_timestamp()
    )`);
  await sql.query(`comment on table bulkhead.migration is 'The files of src/store/migrations that were applied.'`);
}

/** Applies the first migration that is still to run. @returns it, or null when there is none */
async function applyNext(db: Database, known: readonly Migration[]): Promise<Migration | null> {
  return await db.transaction(async (sql) => {
    await sql.query('select pg_advisory_xact_lock($1::bigint)', [LOCK]);
    const next = pendingAfter(await readApplied(sql), known, db.target)[0];
    if (next === undefined) return null;
    if (next.version === 1) await makeBookkeeping(sql);
    await sql.query(next.sql);
    await sql.query('insert into bulkhead.migration (version, name, hash) values ($1, $2, $3)', [
      next.version,
      next.name,
      next.hash,
    ]);
    return next;
  });
}

/** @throws StoreError `configuration` when the schema is newer than this Bulkhead, or older (run `bulkhead migrate`) */
export async function requireCurrentSchema(db: Database, known: readonly Migration[]): Promise<void> {
  const pending = pendingAfter(await readApplied(db), known, db.target);
  if (pending.length === 0) return;
  throw new StoreError('configuration', `${db.target} is not set up for this Bulkhead: run "bulkhead migrate".`);
}

/**
 * Migrates the database at `url`. Safe to call by several at once and again.
 * @returns the names of the files applied by this call
 * @throws StoreError `configuration` when the schema is newer than this Bulkhead, `unavailable` when nobody answers
 */
export async function migrate(url: string, known?: readonly Migration[]): Promise<string[]> {
  const migrations = known ?? (await readMigrations());
  const db = await openDatabase({
    url,
    applicationName: 'bulkhead migrate',
    maxConnections: 1,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  try {
    // Read first: a database that is up to date is not even locked.
    if (pendingAfter(await readApplied(db), migrations, db.target).length === 0) return [];
    const applied: string[] = [];
    for (let next = await applyNext(db, migrations); next !== null; next = await applyNext(db, migrations)) {
      applied.push(next.name);
    }
    return applied;
  } finally {
    await db.close();
  }
}
