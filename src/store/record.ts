import type { JobStatus } from '../job/status.ts';
import type { Fence } from '../ports/shards.ts';
import type { JobEvent, TurnRecord } from '../ports/store.ts';
import { fenced, fenceValues } from './fence.ts';
import type { Sql } from './pool.ts';
import { storableJson, storableText } from './rows.ts';

/**
 * Stores what one turn of one job has to tell, all of it or nothing: status and events in one statement, so that the
 * audit trail never lacks what a status says. By a function in the database, which need not plan it anew each time.
 * @throws StoreError `fenced` when the fence is outdated, or not of the jobs' shard
 */
export async function record(sql: Sql, fence: Fence, { status, events }: TurnRecord): Promise<void> {
  if (status === null && events.length === 0) return;
  const [row] = await sql.query<{ allowed: boolean }>(
    'select bulkhead.record_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) as allowed',
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
