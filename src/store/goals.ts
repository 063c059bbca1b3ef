import type { Goal } from '../job/goal.ts';
import { type JobId, type JobName, jobId, revision } from '../job/ids.ts';
import type { Head } from '../ports/store.ts';
import type { Sql } from './pool.ts';
import { type GoalRow, toGoal } from './rows.ts';

/** Reading goals: for the operator (heads, goals) and for people (list, find). One query each. */

const GOAL_OF_HEAD = `
  select h.job_id, j.tenant, j.name, h.revision, g.content, g.content_hash, g.author, g.source, g.reason, g.created_at
  from bulkhead.goal_head h
  join bulkhead.job j on j.id = h.job_id
  join bulkhead.goal_revision g on g.job_id = h.job_id and g.revision = h.revision`;

/** Every job but the removed ones whose cell was seen to be gone. */
export async function heads(sql: Sql): Promise<Head[]> {
  const rows = await sql.query<{ job_id: string; revision: number }>(`
    select h.job_id, h.revision
    from bulkhead.goal_head h
    join bulkhead.job j on j.id = h.job_id
    left join bulkhead.observation o on o.job_id = h.job_id and j.removed_at is not null
    where (o.status->>'phase' = 'Gone' and (o.status->>'observedRevision')::int = h.revision) is not true`);
  return rows.map((row) => ({ jobId: jobId(row.job_id), revision: revision(row.revision) }));
}

export async function goals(sql: Sql, ids: readonly JobId[]): Promise<Goal[]> {
  const rows = await sql.query<GoalRow>(`${GOAL_OF_HEAD} where h.job_id = any($1::uuid[])`, [ids]);
  return rows.map(toGoal);
}

// Names are compared byte by byte, so that the order is the same under every database's collation.
export async function list(sql: Sql, filter: { readonly tenant?: string } = {}): Promise<Goal[]> {
  const rows = await sql.query<GoalRow>(
    `${GOAL_OF_HEAD}
     where j.removed_at is null and ($1::text is null or j.tenant = $1)
     order by j.tenant collate "C", j.name collate "C"`,
    [filter.tenant ?? null],
  );
  return rows.map(toGoal);
}

export async function find(sql: Sql, job: JobName): Promise<Goal | null> {
  const rows = await sql.query<GoalRow>(
    `${GOAL_OF_HEAD} where j.removed_at is null and j.tenant = $1 and j.name = $2`,
    [job.tenant, job.name],
  );
  return rows[0] === undefined ? null : toGoal(rows[0]);
}

/** Which of `ids` this store has ever given. */
export async function knows(sql: Sql, ids: readonly JobId[]): Promise<Set<JobId>> {
  const rows = await sql.query<{ id: string }>('select id from bulkhead.job where id = any($1::uuid[])', [ids]);
  return new Set(rows.map((row) => jobId(row.id)));
}
