import type { JobStatus } from '../job/status.ts';
import type { Fence } from '../ports/shards.ts';
import type { JobEvent, TurnRecord } from '../ports/store.ts';
import { fenceCte, fenced, fenceValues } from './fence.ts';
import type { Sql } from './pool.ts';
import { storableJson, storableText } from './rows.ts';

/**
 * Stores what one turn of one job has to tell, all of it or nothing: status and events in one statement, so that the
 * audit trail never lacks what a status says.
 * @throws StoreError `fenced` when the fence is outdated, or not of the jobs' shard
 */
export async function record(sql: Sql, fence: Fence, { status, events }: TurnRecord): Promise<void> {
  if (status === null && events.length === 0) return;
  const [row] = await sql.query<{ allowed: boolean }>(
    `with ${fenceCte(1)},
     allowed as materialized (
       select from fence where shard = all (select j.shard from bulkhead.job j where j.id = any($13::uuid[]))),
     saved as (
       insert into bulkhead.observation as o (job_id, status, updated_at)
       select $6::uuid, $7::jsonb, clock_timestamp() from allowed where $6::uuid is not null
       on conflict (job_id) do update set status = excluded.status, updated_at = excluded.updated_at),
     told as (
       insert into bulkhead.event (job_id, revision, type, reason, message)
       select given.job_id, given.revision, given.type, given.reason, given.message
       from allowed, unnest($8::uuid[], $9::int[], $10::text[], $11::text[], $12::text[])
         with ordinality as given (job_id, revision, type, reason, message, position)
       order by given.position)
     select exists (select from allowed) as allowed`,
    [...fenceValues(fence), ...statusValues(status), ...eventValues(events), jobsOf(status, events)],
  );
  if (row?.allowed !== true) throw fenced(fence);
}

const statusValues = (status: JobStatus | null): readonly unknown[] =>
  status === null ? [null, null] : [status.jobId, storableJson(status)];

/** Each job once, nearly always one: many ids, though all the same, are a reason for Postgres to read the whole table. */
const jobsOf = (status: JobStatus | null, events: readonly JobEvent[]): readonly string[] => [
  ...new Set([...(status === null ? [] : [status.jobId]), ...events.map((event) => event.jobId)]),
];

const eventValues = (events: readonly JobEvent[]): readonly unknown[] => [
  events.map((e) => e.jobId),
  events.map((e) => e.revision),
  events.map((e) => e.type),
  events.map((e) => e.reason),
  events.map((e) => storableText(e.message)),
];
