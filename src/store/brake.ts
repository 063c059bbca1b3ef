import type { JobId, Revision } from '../job/ids.ts';
import type { Fence } from '../ports/shards.ts';
import { type BrakeState, type BrakeVerdict, type ChangeOrigin, StoreError } from '../ports/store.ts';
import { FENCE_CTE, fenced, fenceValues } from './fence.ts';
import type { Database, Sql } from './pool.ts';
import { type JobRow, toJobRef } from './rows.ts';
import { GOAL_CHANNEL } from './write.ts';

/**
 * One budget of removals for all replicas. Whoever asks, for whatever job, first lets those go that there is room for,
 * in the order in which they were asked for. So nobody is overtaken, and a removal whose replica never comes back
 * keeps nobody waiting.
 */

const WINDOW_MS = 600_000;
const LEAST = 3;
const PERCENT = 5;
/** For so long a count of the cells is good enough. */
const COUNT_LASTS_MS = 10_000;

const budgetOf = (cells: number): number => Math.max(LEAST, Math.floor((cells * PERCENT) / 100));

const WINDOW = `interval '${WINDOW_MS} milliseconds'`;
const IN_WINDOW = `granted_at > clock_timestamp() - ${WINDOW}`;
const IS_GONE = `(j.removed_at is not null and o.status->>'phase' = 'Gone') is true`;
const CELLS = `(select count(*)::int from bulkhead.job where removed_at is null) +
  (select count(*)::int from bulkhead.job j left join bulkhead.observation o on o.job_id = j.id
   where j.removed_at is not null and not ${IS_GONE})`;
/** Removals that wait, as `r`; not those of a goal that somebody has changed since, by an undelete for example. */
const WAITING = `bulkhead.removal r
  join bulkhead.goal_head h on h.job_id = r.job_id and r.revision >= h.job_revision
  where r.granted_at is null
    and not exists (select from bulkhead.removal n where n.job_id = r.job_id and n.revision > r.revision)`;

interface Look {
  /** Whether the fence holds and is that of the job's shard. */
  readonly held: boolean;
  /** Whether the removal is in the queue; null while it is not. */
  readonly granted: boolean | null;
  /** Whether any removal waits. */
  readonly waiting: boolean;
  /** How many were granted within the window. */
  readonly used: number;
  /** When the oldest of those is a window old; now, where there is none. */
  readonly until: Date;
  /** As they were counted; null where that is too long ago. */
  readonly cells: number | null;
}

/** How the removal stands. Locks and writes nothing: it is asked again and again by all that wait. @throws StoreError `fenced` */
async function look(sql: Sql, fence: Fence, id: JobId, revision: Revision): Promise<Look> {
  const [seen] = await sql.query<Look>(
    `with granted as (
       select count(*)::int as used, min(granted_at) + ${WINDOW} as until from bulkhead.removal where ${IN_WINDOW})
     select exists (select from bulkhead.job j join bulkhead.shard s on s.id = j.shard
         where j.id = $6::uuid and s.owner = $1::uuid and s.id = $2::smallint and s.epoch = $3::bigint
           and bulkhead.system_identifier() = $4::text and bulkhead.timeline() = $5::integer) as held,
       (select granted_at is not null from bulkhead.removal where job_id = $6::uuid and revision = $7::int) as granted,
       exists (select from ${WAITING}) as waiting, used, coalesce(until, clock_timestamp()) as until,
       case when counted_at > clock_timestamp() - interval '${COUNT_LASTS_MS} milliseconds' then cells end as cells
     from bulkhead.brake, granted`,
    [...fenceValues(fence), id, revision],
  );
  if (seen === undefined) throw new Error('bulkhead.brake has lost its row');
  if (!seen.held) throw fenced(fence);
  return seen;
}

/** Puts the removal in the queue, unless it is there. @throws StoreError `fenced` */
async function enqueue(sql: Sql, fence: Fence, id: JobId, revision: Revision): Promise<void> {
  const [row] = await sql.query<{ held: boolean }>(
    `with ${FENCE_CTE},
     allowed as materialized (
       select j.id from fence join bulkhead.job j on j.id = $6::uuid and j.shard = fence.shard),
     asked as (
       insert into bulkhead.removal (job_id, revision) select id, $7::int from allowed on conflict do nothing)
     select exists (select from allowed) as held`,
    [...fenceValues(fence), id, revision],
  );
  if (row?.held !== true) throw fenced(fence);
}

/** What this process counted last, so that all who wait here do so together; the table has it once something is granted. */
const counts = new WeakMap<Sql, { readonly atMs: number; readonly cells: Promise<number> }>();

function countCells(sql: Sql): Promise<number> {
  const known = counts.get(sql);
  if (known && performance.now() - known.atMs < COUNT_LASTS_MS) return known.cells;
  const cells = sql.query<{ cells: number }>(`select ${CELLS} as cells`).then(([row]) => row?.cells ?? 0);
  counts.set(sql, { atMs: performance.now(), cells });
  // Who waits for it is told; the next one counts anew.
  cells.catch(() => counts.delete(sql));
  return cells;
}

/** One after the other from here to the commit. @returns what the window allows */
async function lockBudget(sql: Sql): Promise<number> {
  await sql.query('select from bulkhead.brake for update');
  await sql.query(
    `update bulkhead.brake set cells = ${CELLS}, counted_at = clock_timestamp()
     where counted_at <= clock_timestamp() - interval '${COUNT_LASTS_MS} milliseconds'`,
  );
  const [row] = await sql.query<{ cells: number }>('select cells from bulkhead.brake');
  return budgetOf(row?.cells ?? 0);
}

/** Lets those go that there is room for. */
async function grantDue(db: Database): Promise<void> {
  await db.transaction(async (sql) => {
    await sql.query(
      `with due as materialized (
         select r.job_id, r.revision from ${WAITING} order by r.asked_at, r.job_id
         limit greatest(0, $1 - (select count(*) from bulkhead.removal where ${IN_WINDOW})))
       update bulkhead.removal t set granted_at = clock_timestamp()
       from due where t.job_id = due.job_id and t.revision = due.revision`,
      [await lockBudget(sql)],
    );
  });
}

/**
 * One statement that reads for what was granted already, and for what is known to wait while nothing can be granted: a
 * thousand jobs that ask all day leave no trace.
 * @throws StoreError `fenced`
 */
export async function reserveRemoval(db: Database, fence: Fence, id: JobId, revision: Revision): Promise<BrakeVerdict> {
  let seen = await look(db, fence, id, revision);
  if (seen.granted) return { kind: 'granted' };
  const isNew = seen.granted === null;
  if (isNew) await enqueue(db, fence, id, revision);
  let budget = budgetOf(seen.cells ?? (await countCells(db)));
  if (seen.used < budget && (isNew || seen.waiting)) {
    await grantDue(db);
    seen = await look(db, fence, id, revision);
    budget = seen.cells === null ? budget : budgetOf(seen.cells);
  }
  return seen.granted ? { kind: 'granted' } : { kind: 'braked', until: seen.until, budget };
}

interface StateRow {
  readonly cells: number;
  readonly used: number;
  readonly at: Date | null;
  readonly author: string;
  readonly reason: string;
}

export async function brakeState(sql: Sql): Promise<BrakeState> {
  const [row] = await sql.query<StateRow>(
    `select ${CELLS} as cells, (select count(*)::int from bulkhead.removal where ${IN_WINDOW}) as used,
       last.at, last.author, last.reason
     from bulkhead.brake
     left join (select at, author, reason from bulkhead.brake_release order by id desc limit 1) last on true`,
  );
  if (row === undefined) throw new Error('bulkhead.brake has lost its row');
  const waiting = await sql.query<JobRow>(
    `select j.id as job_id, j.tenant, j.name
     from bulkhead.job j left join bulkhead.observation o on o.job_id = j.id
     join (select r.job_id, r.asked_at from ${WAITING}) w on w.job_id = j.id
     where not ${IS_GONE}
     order by w.asked_at, j.id`,
  );
  return {
    budget: budgetOf(row.cells),
    windowMs: WINDOW_MS,
    used: row.used,
    waiting: waiting.map(toJobRef),
    lastRelease: row.at === null ? null : { at: row.at, author: row.author, reason: row.reason },
  };
}

/** @throws StoreError `invalid` without a reason */
export async function releaseBrake(db: Database, { author, reason }: ChangeOrigin): Promise<number> {
  if (reason === null) throw new StoreError('invalid', 'A brake is released for a reason: say which, for the record.');
  const released = await db.transaction(async (sql) => {
    await sql.query('select from bulkhead.brake for update');
    const granted = await sql.query(
      `with due as materialized (select r.job_id, r.revision from ${WAITING})
       update bulkhead.removal t set granted_at = clock_timestamp()
       from due where t.job_id = due.job_id and t.revision = due.revision returning 1`,
    );
    await sql.query('insert into bulkhead.brake_release (author, reason, released) values ($1, $2, $3)', [
      author,
      reason,
      granted.length,
    ]);
    return granted.length;
  });
  await hint(db);
  return released;
}

async function hint(sql: Sql): Promise<void> {
  try {
    await sql.query('select pg_notify($1, $2)', [GOAL_CHANNEL, 'brake']);
  } catch {
    // The release is stored. Without the hint every removal that waits asks again by itself, only later.
  }
}
