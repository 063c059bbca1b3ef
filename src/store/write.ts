import { type JobId, type JobName, jobId, jobName, revision } from '../job/ids.ts';
import type { FieldKeeper } from '../job/status.ts';
import type { Fence } from '../ports/shards.ts';
import { type ChangeOrigin, type GoalChange, type GoalReceipt, type GoalWriter, StoreError } from '../ports/store.ts';
import { FENCE_CTE, fenced, fenceValues } from './fence.ts';
import { assemble, type GoalRow, goalsStatement, type StoredGoals, type StoredJob } from './goals.ts';
import {
  type Attempt,
  awaitReplication,
  formerReplies,
  type KeyedCall,
  keyedCall,
  type ReplyRow,
  untilKnown,
} from './idempotency.ts';
import type { Database, Sql } from './pool.ts';
import { decide, isStored, refuseDoubles, requireNewId, requireValid, type Step } from './write-decide.ts';
import { refuseKept } from './write-kept.ts';
import { GOAL_CHANNEL, storeGoals, type TenantReply } from './write-statement.ts';

export { GOAL_CHANNEL };

/**
 * Writing goals: all changes of a call or none.
 *
 * Two statements: one reads how the jobs stand, one stores what was decided from that, provided that they still stand so;
 * otherwise both are done again. Nothing is locked in between, and a thousand jobs take as many round trips as one.
 * A platform's limits may change in between, too: then the goal is stored and shows as refused when it is read.
 */

type WriteOptions = NonNullable<Parameters<GoalWriter['write']>[2]>;

/** What is kept of a receipt; its job is known from the change. */
type KeptReceipt = Omit<GoalReceipt, 'job'>;

/** The job of each name, or its removed one within the retention time. */
const WANTED_JOBS = `
  select h.*, j.tenant, j.name, null::timestamptz as kept_until
  from unnest($1::text[], $2::text[]) as wanted (tenant, name)
  cross join lateral (
    (select id, tenant, name from bulkhead.job
     where tenant = wanted.tenant and name = wanted.name and removed_at is null)
    union all
    (select id, tenant, name from bulkhead.job
     where tenant = wanted.tenant and name = wanted.name
       and removed_at > (select clock_timestamp() - undelete_retention from bulkhead.store)
     order by removed_at desc)
    limit 1
  ) j
  join bulkhead.goal_head h on h.job_id = j.id`;

// What is no revision has its own columns in those of one.
const READ = `${goalsStatement(WANTED_JOBS, 'select unnest($1::text[])')}
  union all
  select 'reply', null, tenant, null, null, null, null, receipts, body_hash, null, null, null, null, null, null, null
  from bulkhead.idempotency where tenant = any($1) and key = $3
  union all
  select 'kept', h.job_id, null, null, null, null, null, o.status->'keepers', null, null, null, null, null, null, null, null
  from h join bulkhead.observation o on o.job_id = h.job_id where o.status ? 'keepers'
  union all
  select 'clock', null, null, null, null, null, null, null, null, null, null, null, null, clock_timestamp(), null, null`;

// Apart, since few changes bring an id along, and planning it costs all others something.
const READ_WITH_IDS = `${READ}
  union all
  select 'given', id, tenant, name, null, null, null, null, null, null, null, null, null, null, null, null
  from bulkhead.job where id = any($4::uuid[])`;

type ReadRow =
  | GoalRow
  | { readonly kind: 'reply'; readonly tenant: string; readonly content: KeptReceipt[]; readonly content_hash: string }
  | { readonly kind: 'kept'; readonly job_id: string; readonly content: readonly FieldKeeper[] }
  | { readonly kind: 'given'; readonly job_id: string; readonly tenant: string; readonly name: string }
  | { readonly kind: 'clock'; readonly created_at: Date };

const isGoalRow = (row: ReadRow): row is GoalRow => !['reply', 'kept', 'given', 'clock'].includes(row.kind);

interface Standing {
  /** By the database's clock. */
  readonly now: Date;
  readonly goals: StoredGoals;
  readonly byName: ReadonlyMap<string, StoredJob>;
  /** Who keeps fields of the jobs' StreamJobs, of those jobs of which somebody does. */
  readonly keepers: ReadonlyMap<JobId, readonly FieldKeeper[]>;
  /** Which of the ids that changes bring along are some job's already. */
  readonly givenIds: ReadonlyMap<JobId, JobName>;
  readonly replies: readonly ReplyRow<readonly KeptReceipt[]>[];
}

async function readStanding(sql: Sql, changes: readonly GoalChange[], call: KeyedCall): Promise<Standing> {
  const ids = changes.flatMap(({ id }) => id ?? []);
  const values = [changes.map(({ job }) => job.tenant), changes.map(({ job }) => job.name), call.key];
  const rows = await (ids.length > 0
    ? sql.query<ReadRow>(READ_WITH_IDS, [...values, ids])
    : sql.query<ReadRow>(READ, values));
  const goals = assemble(rows.filter(isGoalRow));
  const clock = rows.find((row) => row.kind === 'clock');
  if (clock === undefined) throw new Error('a row that is always there is missing');
  return {
    now: clock.created_at,
    goals,
    byName: new Map(goals.jobs.map((stored) => [jobName(stored.job), stored])),
    keepers: new Map(rows.filter((row) => row.kind === 'kept').map((row) => [jobId(row.job_id), row.content])),
    givenIds: new Map(
      rows.filter((row) => row.kind === 'given').map(({ job_id: id, tenant, name }) => [jobId(id), { tenant, name }]),
    ),
    replies: rows
      .filter((row) => row.kind === 'reply')
      .map((row) => ({ tenant: row.tenant, body_hash: row.content_hash, receipts: row.content })),
  };
}

function repliesOf(steps: readonly Step[]): TenantReply[] {
  const byTenant = Map.groupBy(steps, (step) => step.change.job.tenant);
  return [...byTenant].map(([tenant, own]) => ({
    tenant,
    receipts: own.map(({ receipt: { id, revision: at, outcome } }): KeptReceipt => ({ id, revision: at, outcome })),
  }));
}

/** The receipts of the first time, for a call that was made before. */
function repeatReceipts(
  changes: readonly GoalChange[],
  former: ReadonlyMap<string, readonly KeptReceipt[]>,
): GoalReceipt[] {
  const left = new Map([...former].map(([tenant, receipts]) => [tenant, receipts.values()]));
  return changes.map(({ job: { tenant, name } }) => {
    const kept = left.get(tenant)?.next().value;
    if (kept === undefined) throw new StoreError('conflict', 'The idempotency key was used for other changes already.');
    const { id, revision: at, outcome } = kept;
    return {
      job: { tenant, name },
      id: id === null ? null : jobId(id),
      revision: at === null ? null : revision(at),
      outcome,
    };
  });
}

/** Undoes what `work` did, whatever it did. */
async function rolledBack(db: Database, work: (sql: Sql) => Promise<void>): Promise<void> {
  await db.transaction(async (sql) => {
    await sql.query('savepoint dry_run');
    await work(sql);
    await sql.query('rollback to savepoint dry_run');
  });
}

/** In one transaction with the proof of ownership, which holds a takeover off until it has ended. */
async function underFence(db: Database, fence: Fence, work: (sql: Sql) => Promise<void>): Promise<void> {
  await db.transaction(async (sql) => {
    const holds = await sql.query(`with ${FENCE_CTE} select shard from fence`, fenceValues(fence));
    if (holds.length === 0) throw fenced(fence);
    await work(sql);
  });
}

async function writeOnce(
  db: Database,
  changes: readonly GoalChange[],
  origin: ChangeOrigin,
  call: KeyedCall,
  { dryRun = false, fence }: WriteOptions,
  attempt: Attempt,
): Promise<GoalReceipt[]> {
  const standing = await readStanding(db, changes, call);
  const former = formerReplies(call, standing.replies);
  if (former.size > 0) {
    const receipts = repeatReceipts(changes, former);
    if (!dryRun) await awaitReplication(db);
    return receipts;
  }
  const steps = changes.map((change) => decide(change, standing.byName.get(jobName(change.job))));
  const stored = steps.filter(isStored);
  refuseKept(stored, origin.source, standing.byName, standing.keepers);
  for (const step of stored) {
    requireNewId(step, standing.givenIds);
    requireValid(step, standing.byName.get(jobName(step.change.job)), standing.goals, origin, standing.now);
  }
  // A key that the caller may use again is kept also where there was nothing to change: later there might be.
  if (stored.length > 0 || call.named) {
    const store = (sql: Sql) => storeGoals(sql, stored, repliesOf(steps), origin, call, attempt.hints);
    if (dryRun) await rolledBack(db, store);
    else await attempt.send(() => (fence ? underFence(db, fence, store) : store(db)));
  }
  return steps.map((step) => step.receipt);
}

/** @returns one receipt for each change, in their order. @throws StaleBaseError, KeptElsewhereError, StoreError */
export async function write(
  db: Database,
  changes: readonly GoalChange[],
  origin: ChangeOrigin,
  options: WriteOptions = {},
): Promise<GoalReceipt[]> {
  if (changes.length === 0) return [];
  refuseDoubles(changes);
  // Not the base: it says when a change may be stored, not what, and whoever sends a call again has read anew.
  const body = changes.map(({ job: { tenant, name }, content, id, takeOver }) => ({
    job: { tenant, name },
    content,
    id,
    takeOver,
  }));
  const call = keyedCall(origin, { goals: body });
  return await untilKnown(call, (attempt) => writeOnce(db, changes, origin, call, options, attempt));
}
