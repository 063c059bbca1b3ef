import { contentHash } from '../job/canonical.ts';
import { type JobId, jobId } from '../job/ids.ts';
import type { Fence } from '../ports/shards.ts';
import { FENCES_CTE, fenced, fencesValues } from './fence.ts';
import type { Sql } from './pool.ts';
import { GOAL_CHANNEL } from './write-statement.ts';

/** On-call layers that end by themselves: their end is a revision like any other. */

/** At a time; the rest follows with the next call. */
const BATCH = 500;
/** As a writer would make it, so that clearing an on-call layer that has ended changes nothing. */
const CLEARED_HASH = contentHash({ kind: 'cleared', layer: 'oncall' });

// Whom a writer has under a lock is left for the next call: the writer may be changing that very layer. Removed jobs keep
// theirs, since a revision more would make their removal a new one; it ends when they are brought back.
const EXPIRE = `
  with ${FENCES_CTE},
  due as materialized (
    select h.job_id, h.revision + 1 as revision, clock_timestamp() as at,
      format('The override of revision %s, made by %s, was to end at %s.', r.revision, r.author,
        to_char(h.oncall_until at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) as reason
    from bulkhead.goal_head h
    join bulkhead.job j on j.id = h.job_id
    join bulkhead.goal_revision r on r.job_id = h.job_id and r.revision = h.oncall_revision
    where h.oncall_until <= (select clock_timestamp()) and j.removed_at is null
      and j.shard in (select shard from fence)
    limit ${BATCH}
    for no key update of h skip locked
  ), written as (
    insert into bulkhead.goal_revision (job_id, revision, layer, content, content_hash, author, source, reason, created_at)
    select job_id, revision, 'oncall', null, $6, 'bulkhead', 'system', reason, at from due
  ), moved as (
    update bulkhead.goal_head h
    set revision = due.revision, oncall_revision = due.revision, oncall_until = null
    from due where h.job_id = due.job_id
    returning h.job_id
  )
  select (select count(*)::int from fence) as held, (select array_agg(job_id) from moved) as ended,
    (select count(pg_notify($7, job_id::text)) from moved)`;

/** Whether anything is due at all, without a lock or a fence: one look at an index that holds little. */
const IS_DUE = `select from bulkhead.goal_head h join bulkhead.job j on j.id = h.job_id
  where h.oncall_until <= (select clock_timestamp()) and j.removed_at is null and j.shard = any($1::smallint[]) limit 1`;

/**
 * Ends the on-call layers of these shards' jobs whose time is over.
 * @returns the jobs that were changed
 * @throws StoreError `fenced` when something is due and none of the fences holds; one that does not is passed over
 */
export async function expireOverrides(sql: Sql, fences: readonly Fence[]): Promise<JobId[]> {
  if (fences.length === 0) return [];
  const due = await sql.query(IS_DUE, [fences.map((fence) => fence.shard)]);
  if (due.length === 0) return [];
  const [row] = await sql.query<{ held: number; ended: string[] | null }>(EXPIRE, [
    ...fencesValues(fences),
    CLEARED_HASH,
    GOAL_CHANNEL,
  ]);
  const ended = row?.ended ?? [];
  const [first] = fences;
  if (ended.length === 0 && row?.held === 0 && first !== undefined) throw fenced(first);
  return ended.map(jobId);
}
