import { canonicalJson } from '../job/canonical.ts';
import type { ChangeOrigin } from '../ports/store.ts';
import { type KeyedCall, LostRace } from './idempotency.ts';
import type { Sql } from './pool.ts';
import type { StoredStep } from './write-decide.ts';

/** Channel of the hints; the payload is a job id, or `platform`. */
export const GOAL_CHANNEL = 'bulkhead_goal';

/** What is kept of the answer to one tenant's changes, in their order; the changes themselves are known by then. */
export interface TenantReply {
  readonly tenant: string;
  readonly receipts: readonly unknown[];
}

/**
 * One statement, so that a write takes two round trips, with the one that reads. It stores nothing where a head has moved
 * since it was read; a name, number or key that was taken meanwhile fails it (23505).
 *
 * Writers that meet do not wait for each other crosswise: each takes the heads first, by id, then new names by name.
 */
const STORE_GOALS = `
  with given as materialized (
    select *, clock_timestamp() as at
    from unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::text[], $9::text[],
        $10::boolean[])
      as given (job_id, revision, layer, content, content_hash, until, outcome, tenant, name, take_over)
  ), locked as materialized (
    select h.revision = given.revision - 1 as stands
    from bulkhead.goal_head h join given on given.job_id = h.job_id
    order by h.job_id for no key update of h
  ), ready as materialized (
    select count(*) filter (where stands) = (select count(*) from given where outcome <> 'created') as go from locked
  ), made as (
    insert into bulkhead.job (id, tenant, name, created_at)
    select job_id, tenant, name, at from given, ready where go and outcome = 'created' order by tenant, name
  ), marked as (
    update bulkhead.job j set removed_at = case outcome when 'removed' then at end
    from given, ready where go and j.id = given.job_id and outcome in ('removed', 'restored')
  ), written as (
    insert into bulkhead.goal_revision
      (job_id, revision, layer, content, content_hash, until, take_over, author, source, reason, idempotency_key, created_at)
    select job_id, revision, layer, content::jsonb, content_hash, until, take_over, $11, $12, $13, $14, at
    from given, ready where go and layer <> 'scaler'
  ), scaled as (
    insert into bulkhead.scaler_revision
      (job_id, revision, content, content_hash, author, source, reason, idempotency_key, created_at)
    select job_id, revision, content::jsonb, content_hash, $11, $12, $13, $14, at
    from given, ready where go and layer = 'scaler'
  ), begun as (
    insert into bulkhead.goal_head (job_id, revision, job_revision)
    select job_id, revision, revision from given, ready where go and outcome = 'created'
  ), moved as (
    update bulkhead.goal_head h set
      revision = g.revision,
      job_revision = case layer when 'job' then g.revision else h.job_revision end,
      scaler_revision = case layer when 'scaler' then g.revision else h.scaler_revision end,
      scaler_at = case layer when 'scaler' then g.at else h.scaler_at end,
      oncall_revision = case layer when 'oncall' then g.revision else h.oncall_revision end,
      oncall_until = case layer when 'oncall' then g.until else h.oncall_until end
    from given g, ready where go and h.job_id = g.job_id and outcome <> 'created'
  ), kept as (
    insert into bulkhead.idempotency (tenant, key, body_hash, receipts)
    select tenant, $15, $16, receipts::jsonb from unnest($17::text[], $18::text[]) as reply (tenant, receipts), ready
    where go
  )
  select go, case when $19 and go then (select count(pg_notify($20, job_id::text)) from given) end from ready`;

const contentOf = ({ change: { content } }: StoredStep): string | null => {
  if (content.kind === 'spec') return canonicalJson(content.spec);
  return content.kind === 'patch' ? canonicalJson(content.patch) : null;
};

const untilOf = ({ change: { content } }: StoredStep): Date | null =>
  content.kind === 'patch' && content.layer === 'oncall' ? content.until : null;

/** Stores all of it or nothing. @throws LostRace or an error with SQLSTATE 40P01 or 23505 when somebody was faster */
export async function storeGoals(
  sql: Sql,
  steps: readonly StoredStep[],
  replies: readonly TenantReply[],
  origin: ChangeOrigin,
  call: KeyedCall,
  hints: boolean,
): Promise<void> {
  const [row] = await sql.query<{ go: boolean }>(STORE_GOALS, [
    steps.map((s) => s.receipt.id),
    steps.map((s) => s.receipt.revision),
    steps.map((s) => s.layer),
    steps.map(contentOf),
    steps.map((s) => s.contentHash),
    steps.map(untilOf),
    steps.map((s) => s.receipt.outcome),
    steps.map((s) => s.change.job.tenant),
    steps.map((s) => s.change.job.name),
    steps.map((s) => s.layer === 'job' && s.change.takeOver === true),
    origin.author,
    origin.source,
    origin.reason,
    origin.idempotencyKey ?? null,
    call.key,
    call.bodyHash,
    replies.map((reply) => reply.tenant),
    replies.map((reply) => JSON.stringify(reply.receipts)),
    hints,
    GOAL_CHANNEL,
  ]);
  if (row?.go !== true) throw new LostRace();
}
