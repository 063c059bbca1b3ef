import { type JobId, revision } from '../job/ids.ts';
import type { EventType, Fence, JobEvent, StoredEvent } from '../ports/store.ts';
import { fenceCte, fenced } from './fence.ts';
import type { Sql } from './pool.ts';
import { type JobRow, storableText, toJobRef } from './rows.ts';

/** The audit trail: only ever appended to. */

/** Stores all of them or none, in this order. @throws StoreError `fenced` when the fence is outdated */
export async function appendEvents(sql: Sql, fence: Fence, events: readonly JobEvent[]): Promise<void> {
  if (events.length === 0) return;
  const stored = await sql.query(
    `with ${fenceCte('$1', '$2')}
     insert into bulkhead.event (job_id, revision, type, reason, message)
     select given.job_id, given.revision, given.type, given.reason, given.message
     from fence, unnest($3::uuid[], $4::int[], $5::text[], $6::text[], $7::text[])
       with ordinality as given (job_id, revision, type, reason, message, position)
     order by given.position
     returning 1`,
    [
      fence.owner,
      fence.epoch,
      events.map((e) => e.jobId),
      events.map((e) => e.revision),
      events.map((e) => e.type),
      events.map((e) => e.reason),
      events.map((e) => storableText(e.message)),
    ],
  );
  if (stored.length === 0) throw fenced(fence);
}

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
