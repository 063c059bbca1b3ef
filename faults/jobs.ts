import { setTimeout as sleep } from 'node:timers/promises';
import { type JobId, type Revision, type Shard, shardOf } from '../src/job/ids.ts';
import type { JobSpec } from '../src/job/spec.ts';
import type { Phase } from '../src/job/status.ts';
import type { GoalChange, GoalReceipt, StatusStore } from '../src/ports/store.ts';
import type { Store } from '../src/store/open.ts';
import { until } from '../test/support/until.ts';

/** Short against the latency of an edit. */
const FINE_POLL_MS = 5;
const MANY = 100;

/** Jobs as the scenarios want them: many, small, and known by what was last asked of them. */

export const TENANT = 'faults';
export const ORIGIN = { author: 'faults', source: 'cli', reason: null } as const;

export const specOf = (image: string, parts: Partial<JobSpec> = {}): JobSpec => ({
  container: { image },
  workers: { replicas: 1 },
  ...parts,
});

/** A job, and the newest revision that the store has acknowledged. */
export interface WrittenJob {
  readonly id: JobId;
  readonly name: string;
  readonly revision: Revision;
  readonly shard: Shard;
}

function writtenJob(receipt: GoalReceipt): WrittenJob {
  const { id, revision, job } = receipt;
  if (id === null || revision === null) throw new Error(`the store gave no revision for ${job.name}`);
  return { id, name: job.name, revision, shard: shardOf(id) };
}

const change = (name: string, content: GoalChange['content']): GoalChange => ({
  job: { tenant: TENANT, name },
  content,
});

/** One write of all of them. */
export async function applyAll(store: Store, names: readonly string[], spec: JobSpec): Promise<WrittenJob[]> {
  const changes = names.map((name) => change(name, { kind: 'spec', spec }));
  return (await store.write(changes, ORIGIN)).map(writtenJob);
}

export async function removeAll(store: Store, names: readonly string[]): Promise<WrittenJob[]> {
  const changes = names.map((name) => change(name, { kind: 'tombstone' }));
  return (await store.write(changes, ORIGIN)).map(writtenJob);
}

export const numbered = (count: number, prefix = 'job'): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}-${i}`);

/** Those of `jobs` whose revision an operator has not acted for yet, or has not seen in `phase` where one is given. */
export async function unserved(store: StatusStore, jobs: readonly WrittenJob[], phase?: Phase): Promise<WrittenJob[]> {
  const stored = await store.statuses(jobs.map(({ id }) => id));
  const seen = new Map(stored.map(({ status }) => [status.jobId, status]));
  return jobs.filter(({ id, revision }) => {
    const status = seen.get(id);
    return !status || status.observedRevision < revision || (phase !== undefined && status.phase !== phase);
  });
}

/** Waits until an operator has acted for these revisions. @returns after how long */
export async function untilServed(store: Store, jobs: readonly WrittenJob[], timeoutMs: number): Promise<number> {
  let left = jobs;
  const { elapsedMs } = await until(`${jobs.length} jobs are served`, timeoutMs, async () => {
    left = await unserved(store, left);
    return left.length === 0;
  });
  return elapsedMs;
}

/** Waits until these revisions run. @returns after how long */
export async function untilRunning(store: Store, jobs: readonly WrittenJob[], timeoutMs: number): Promise<number> {
  let left = jobs;
  const { elapsedMs } = await until(`${jobs.length} jobs run`, timeoutMs, async () => {
    left = await unserved(store, left, 'Running');
    // Looking at many is work that those who are waited for could do.
    if (left.length > MANY) await sleep(left.length);
    return left.length === 0;
  });
  return elapsedMs;
}

/** Writes a new image for a job and waits until an operator has acted. @returns after how long */
export async function timeEdit(store: Store, name: string, image: string, timeoutMs = 30_000): Promise<number> {
  const startedAt = performance.now();
  let left = await applyAll(store, [name], specOf(image));
  for (;;) {
    left = await unserved(store, left);
    const elapsedMs = performance.now() - startedAt;
    if (left.length === 0) return elapsedMs;
    if (elapsedMs > timeoutMs) throw new Error(`an edit of ${name} is not served within ${timeoutMs} ms`);
    await sleep(FINE_POLL_MS);
  }
}

/** One job of each shard. */
export function onePerShard(jobs: readonly WrittenJob[]): WrittenJob[] {
  return [...new Map(jobs.map((job) => [job.shard, job])).values()];
}
