import { type JobId, revision } from '../job/ids.ts';
import type { EventType, StoredEvent } from '../ports/store.ts';
import type { Sql } from './pool.ts';
import { type JobRow, toJobRef } from './rows.ts';

/** The audit trail: only ever appended to. */

interface EventRow extends JobRow {
  readonly revision: number;
  readonly type: EventType;
  readonly reason: string;
  readonly message: string;
  readonly at: Date;
}

/** Oldest first, the newest `limit` of them; events of removed jobs too. */
export async function events(
  sql: Sql,
  filter: { readonly jobId?: JobId; readonly tenant?: string; readonly limit: number },
): Promise<StoredEvent[]> {
  const rows = await sql.query<EventRow>(
    `select e.job_id, j.tenant, j.name, e.revision, e.type, e.reason, e.message, e.at
     from bulkhead.event e join bulkhead.job j on j.id = e.job_id
     where ($1::uuid is null or e.job_id = $1) and ($2::text is null or j.tenant = $2)
     order by e.id desc
     limit $3`,
    [filter.jobId ?? null, filter.tenant ?? null, filter.limit],
  );
  return rows.reverse().map((row) => {
    const job = toJobRef(row);
    const { type, reason, message, at } = row;
    return { job, jobId: job.id, revision: revision(row.revision), type, reason, message, at };
  });
}
