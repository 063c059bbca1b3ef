import { createHash, randomUUID } from 'node:crypto';
import { canonicalJson, contentHash } from '../job/canonical.ts';
import { type JobId, type JobName, jobId, jobName, type Revision, revision } from '../job/ids.ts';
import { type ChangeOrigin, type GoalChange, type GoalReceipt, StoreError } from '../ports/store.ts';
import type { Database, Sql } from './pool.ts';

/**
 * Writing goals: all changes of a call or none.
 *
 * Writers of the same name queue at an advisory lock that ends with the transaction, taken in ascending order, so that
 * no two of them wait for each other, also not for names that are new. A write costs the same number of round trips
 * for one job and for a thousand. Doing it twice (after an answer that was lost) stores nothing twice.
 */

/** Channel of the hints; the payload is a job id. */
export const GOAL_CHANNEL = 'bulkhead_goal';

/** Names share this many locks, so that a large write stays far below max_locks_per_transaction. */
const NAME_LOCKS = 256;
/** First key of the locks, which keeps them apart from other programs' in the same database. */
const LOCK_SPACE = 0x62_75_6c_6b;

/** SQLSTATE of a COMMIT that failed because nobody drains the queue of notifications. */
const PROGRAM_LIMIT_EXCEEDED = '54000';

interface Current {
  readonly id: JobId;
  readonly revision: Revision;
  readonly contentHash: string;
}

/** A revision to be stored, and what to answer about it. */
interface Step {
  readonly change: GoalChange;
  readonly receipt: GoalReceipt;
  readonly contentHash: string;
}

type StoredStep = Step & { readonly receipt: { readonly id: JobId; readonly revision: Revision } };

function refuseDoubles(changes: readonly GoalChange[]): void {
  const names = new Set<string>();
  for (const { job } of changes) {
    const name = jobName(job);
    if (names.has(name)) throw new StoreError('conflict', `${name} is named twice in one change: name it once.`);
    names.add(name);
  }
}

function lockOf(job: JobName): number {
  return createHash('sha256').update(jobName(job)).digest().readUInt32BE() % NAME_LOCKS;
}

async function lockNames(sql: Sql, names: readonly JobName[]): Promise<void> {
  const locks = [...new Set(names.map(lockOf))].sort((a, b) => a - b);
  // unnest keeps the order of its array.
  await sql.query('select pg_advisory_xact_lock($1::int, lock) from unnest($2::int[]) lock', [LOCK_SPACE, locks]);
}

async function readCurrent(sql: Sql, names: readonly JobName[]): Promise<Map<string, Current>> {
  const rows = await sql.query<{ id: string; tenant: string; name: string; revision: number; content_hash: string }>(
    `select j.id, j.tenant, j.name, h.revision, g.content_hash
     from unnest($1::text[], $2::text[]) wanted (tenant, name)
     join bulkhead.job j on j.tenant = wanted.tenant and j.name = wanted.name and j.removed_at is null
     join bulkhead.goal_head h on h.job_id = j.id
     join bulkhead.goal_revision g on g.job_id = j.id and g.revision = h.revision`,
    [names.map((n) => n.tenant), names.map((n) => n.name)],
  );
  return new Map(
    rows.map((row) => [
      jobName(row),
      { id: jobId(row.id), revision: revision(row.revision), contentHash: row.content_hash },
    ]),
  );
}

/** What one change means for a job that stands at `current` (undefined: there is no such job). */
function decide(change: GoalChange, current: Current | undefined): Step {
  const { job, content } = change;
  const hash = contentHash(content);
  const step = (outcome: GoalReceipt['outcome'], id: JobId | null, at: number | null): Step => ({
    change,
    contentHash: hash,
    receipt: { job: { tenant: job.tenant, name: job.name }, id, revision: at === null ? null : revision(at), outcome },
  });
  if (content.kind === 'tombstone') {
    return current === undefined ? step('absent', null, null) : step('removed', current.id, current.revision + 1);
  }
  if (current === undefined) return step('created', jobId(randomUUID()), 1);
  if (current.contentHash === hash) return step('unchanged', current.id, current.revision);
  return step('configured', current.id, current.revision + 1);
}

async function insertJobs(sql: Sql, steps: readonly StoredStep[]): Promise<void> {
  const created = steps.filter((s) => s.receipt.outcome === 'created');
  if (created.length === 0) return;
  await sql.query(
    `insert into bulkhead.job (id, tenant, name)
     select * from unnest($1::uuid[], $2::text[], $3::text[])`,
    [created.map((s) => s.receipt.id), created.map((s) => s.change.job.tenant), created.map((s) => s.change.job.name)],
  );
}

async function insertRevisions(sql: Sql, steps: readonly StoredStep[], origin: ChangeOrigin): Promise<void> {
  await sql.query(
    `insert into bulkhead.goal_revision (job_id, revision, content, content_hash, author, source, reason)
     select job_id, revision, content::jsonb, content_hash, $5, $6, $7
     from unnest($1::uuid[], $2::int[], $3::text[], $4::text[]) given (job_id, revision, content, content_hash)`,
    [
      steps.map((s) => s.receipt.id),
      steps.map((s) => s.receipt.revision),
      steps.map(({ change: { content } }) => (content.kind === 'spec' ? canonicalJson(content.spec) : null)),
      steps.map((s) => s.contentHash),
      origin.author,
      origin.source,
      origin.reason,
    ],
  );
}

/** Compare-and-set: a head that is not where `decide` saw it stops the whole write. */
async function moveHeads(sql: Sql, steps: readonly StoredStep[]): Promise<void> {
  const moved = await sql.query(
    `insert into bulkhead.goal_head as head (job_id, revision)
     select * from unnest($1::uuid[], $2::int[])
     on conflict (job_id) do update set revision = excluded.revision where head.revision = excluded.revision - 1
     returning job_id`,
    [steps.map((s) => s.receipt.id), steps.map((s) => s.receipt.revision)],
  );
  if (moved.length !== steps.length) {
    throw new StoreError('conflict', 'A goal was changed by somebody else at the same time: look again, then retry.');
  }
}

async function markRemoved(sql: Sql, steps: readonly StoredStep[]): Promise<void> {
  const removed = steps.filter((s) => s.receipt.outcome === 'removed').map((s) => s.receipt.id);
  if (removed.length === 0) return;
  await sql.query('update bulkhead.job set removed_at = clock_timestamp() where id = any($1::uuid[])', [removed]);
}

async function hint(sql: Sql, steps: readonly StoredStep[]): Promise<void> {
  await sql.query('select pg_notify($1, id) from unnest($2::text[]) id', [
    GOAL_CHANNEL,
    steps.map((s) => s.receipt.id),
  ]);
}

const isStored = (step: Step): step is StoredStep =>
  ['created', 'configured', 'removed'].includes(step.receipt.outcome);

async function writeOnce(
  db: Database,
  changes: readonly GoalChange[],
  origin: ChangeOrigin,
  hints: boolean,
): Promise<GoalReceipt[]> {
  return await db.transaction(async (sql) => {
    const names = changes.map((c) => c.job);
    await lockNames(sql, names);
    const current = await readCurrent(sql, names);
    const steps = changes.map((change) => decide(change, current.get(jobName(change.job))));
    const stored = steps.filter(isStored);
    if (stored.length > 0) {
      await insertJobs(sql, stored);
      await insertRevisions(sql, stored, origin);
      await moveHeads(sql, stored);
      await markRemoved(sql, stored);
      if (hints) await hint(sql, stored);
    }
    return steps.map((s) => s.receipt);
  });
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof StoreError && error.cause instanceof Error && 'code' in error.cause && error.cause.code === code;

/** @returns one receipt for each change, in their order. @throws StoreError */
export async function write(
  db: Database,
  changes: readonly GoalChange[],
  origin: ChangeOrigin,
): Promise<GoalReceipt[]> {
  if (changes.length === 0) return [];
  refuseDoubles(changes);
  try {
    return await writeOnce(db, changes, origin, true);
  } catch (error) {
    // A full queue of hints fails the COMMIT. A goal must not depend on hints, which can be lost anyway.
    if (hasCode(error, PROGRAM_LIMIT_EXCEEDED)) return await writeOnce(db, changes, origin, false);
    throw error;
  }
}
