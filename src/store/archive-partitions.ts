import { StoreError } from '../ports/store.ts';
import { exclusively } from './migrate.ts';
import { type Database, openDatabase, type Sql } from './pool.ts';

/**
 * Old history out of the way: whole months of events and of the scaler's revisions move to the schema bulkhead_archive,
 * as tables of their own, which the owner may copy away and drop. The role of run time has no right to any of it.
 */
export interface ArchivedMonths {
  /** Tables that are in bulkhead_archive now. */
  readonly moved: readonly string[];
  /** Partitions that were left, since they hold what some job's scaler says now. */
  readonly kept: readonly string[];
  /** Idempotency keys that were forgotten: older than the month, so that nobody repeats their calls any more. */
  readonly keys: number;
}

const CONNECT_TIMEOUT_MS = 5_000;
const TIMEOUT_MS = 600_000;

interface Partition {
  readonly parent: string;
  readonly name: string;
}

/** Partitions of whole months that end at `before` or earlier. The name says which month: see make_partitions. */
async function partitionsBefore(sql: Sql, before: Date): Promise<Partition[]> {
  return await sql.query<Partition>(
    `select p.relname::text as parent, c.relname::text as name
     from pg_inherits i
     join pg_class c on c.oid = i.inhrelid
     join pg_class p on p.oid = i.inhparent
     where p.relnamespace = 'bulkhead'::regnamespace and p.relname in ('event', 'scaler_revision')
       and c.relname ~ '_[0-9]{4}_[0-9]{2}$'
       and to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= ($1::timestamptz at time zone 'utc')
     order by c.relname`,
    [before],
  );
}

async function isInForce(sql: Sql, { parent, name }: Partition): Promise<boolean> {
  if (parent !== 'scaler_revision') return false;
  const found = await sql.query(
    `select from bulkhead.${name} s join bulkhead.goal_head h
       on h.job_id = s.job_id and h.scaler_revision = s.revision and h.scaler_at = s.created_at limit 1`,
  );
  return found.length > 0;
}

async function move(sql: Sql, { parent, name }: Partition): Promise<void> {
  await sql.query('create schema if not exists bulkhead_archive');
  await sql.query(`alter table bulkhead.${parent} detach partition bulkhead.${name}`);
  await sql.query(`alter table bulkhead.${name} set schema bulkhead_archive`);
}

async function archiveAll(db: Database, before: Date): Promise<ArchivedMonths> {
  const moved: string[] = [];
  const kept: string[] = [];
  for (const partition of await partitionsBefore(db, before)) {
    // One at a time, so that nobody waits for long. Whoever was faster with it has left nothing to do.
    await exclusively(db, async (sql) => {
      const left = await partitionsBefore(sql, before);
      if (!left.some(({ name }) => name === partition.name)) return;
      await sql.query(`lock table bulkhead.${partition.name} in share row exclusive mode`);
      if (await isInForce(sql, partition)) {
        kept.push(partition.name);
        return;
      }
      await move(sql, partition);
      moved.push(`bulkhead_archive.${partition.name}`);
    });
  }
  const keys = await db.query('delete from bulkhead.idempotency where created_at < $1 returning 1', [before]);
  return { moved, kept, keys: keys.length };
}

/**
 * @param url of the owner (DATABASE_ADMIN_URL)
 * @param before months that end at this time or earlier are moved
 * @throws StoreError `configuration` without the owner's rights; `invalid` for a time that is not over
 */
export async function archiveBefore(url: string, before: Date): Promise<ArchivedMonths> {
  if (!(before.getTime() <= Date.now())) {
    throw new StoreError('invalid', 'Only history can be archived: name a time that is over.');
  }
  const db = await openDatabase({
    url,
    applicationName: 'bulkhead archive',
    maxConnections: 1,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    statementTimeoutMs: TIMEOUT_MS,
  });
  try {
    return await archiveAll(db, before);
  } finally {
    await db.close();
  }
}
