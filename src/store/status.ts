import type { JobId } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import type { Fence, StoredStatus } from '../ports/store.ts';
import { fenceCte, fenced } from './fence.ts';
import type { Sql } from './pool.ts';
import { storableJson } from './rows.ts';

/** What was last seen of each job. */

export async function statuses(sql: Sql, ids?: readonly JobId[]): Promise<StoredStatus[]> {
  const rows = await sql.query<{ status: JobStatus; updated_at: Date }>(
    `select status, updated_at from bulkhead.observation where $1::uuid[] is null or job_id = any($1::uuid[])`,
    [ids ?? null],
  );
  return rows.map((row) => ({ status: row.status, updatedAt: row.updated_at }));
}

/** Replaces the job's status. @throws StoreError `fenced` when the fence is outdated */
export async function saveStatus(sql: Sql, fence: Fence, status: JobStatus): Promise<void> {
  const saved = await sql.query(
    `with ${fenceCte('$1', '$2')}
     insert into bulkhead.observation as o (job_id, status, updated_at)
     select $3::uuid, $4::jsonb, clock_timestamp() from fence
     on conflict (job_id) do update set status = excluded.status, updated_at = clock_timestamp()
     returning 1`,
    [fence.owner, fence.epoch, status.jobId, storableJson(status)],
  );
  if (saved.length === 0) throw fenced(fence);
}
