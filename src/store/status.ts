import type { JobId } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import type { StoredStatus } from '../ports/store.ts';
import type { Sql } from './pool.ts';

/** What was last seen of each job. */

export async function statuses(sql: Sql, ids?: readonly JobId[]): Promise<StoredStatus[]> {
  const rows = await sql.query<{ status: JobStatus; updated_at: Date }>(
    `select status, updated_at from bulkhead.observation where $1::uuid[] is null or job_id = any($1::uuid[])`,
    [ids ?? null],
  );
  return rows.map((row) => ({ status: row.status, updatedAt: row.updated_at }));
}
