import { type JobId, type JobName, type Revision, type Shard, shardOf } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import type { GoalChange, GoalReceipt } from '../../src/ports/store.ts';
import type { Store } from '../../src/store/open.ts';

/** A job, and the newest revision that the store has acknowledged. */
export interface WrittenJob {
  readonly id: JobId;
  readonly tenant: string;
  readonly name: string;
  readonly revision: Revision;
  readonly shard: Shard;
}

export interface LoadOptions {
  readonly tier: 'namespace' | 'shared';
  /** Of the jobs' names, by default `job`: `job-0`, `job-1`, … */
  readonly prefix?: string;
  /** How many jobs a tenant has, by default 100: `tenant-0`, `tenant-1`, … */
  readonly perTenant?: number;
  /** By default that of {@link benchSpec}. */
  readonly spec?: JobSpec;
}

const ORIGIN = { author: 'bench', source: 'cli', reason: 'measured' } as const;
const JOBS_A_WRITE = 500;

/** A job of ordinary size, whose cell has all eight objects. */
export const benchSpec = (image = 'registry.example/app:1', tier: LoadOptions['tier'] = 'namespace'): JobSpec => ({
  container: {
    image,
    env: [
      { name: 'TOPIC', value: 'clicks' },
      { name: 'GROUP', value: 'bench' },
    ],
    ports: [{ name: 'metrics', port: 9090 }],
  },
  workers: { replicas: 2, resources: { requests: { cpu: '100m', memory: '128Mi' } } },
  ...(tier === 'shared' && { isolation: { tier } }),
});

/** How many objects {@link benchSpec} becomes. Tier `shared` shares its Namespace, quota and limits. */
export const OBJECTS_A_JOB = { namespace: 8, shared: 5 } as const;

function written(receipt: GoalReceipt): WrittenJob {
  const { id, revision, job } = receipt;
  if (id === null || revision === null) throw new Error(`the store gave no revision for ${job.name}`);
  return { id, tenant: job.tenant, name: job.name, revision, shard: shardOf(id) };
}

/** The jobs that {@link loadJobs} stores. */
export function jobsToLoad(count: number, options: LoadOptions): { readonly job: JobName; readonly spec: JobSpec }[] {
  const { tier, prefix = 'job', perTenant = 100, spec = benchSpec(undefined, tier) } = options;
  return Array.from({ length: count }, (_, i) => ({
    job: { tenant: `tenant-${Math.floor(i / perTenant)}`, name: `${prefix}-${i}` },
    spec,
  }));
}

/** Stores goals, straight and in batches. @returns them in the order of their numbers */
export async function loadJobs(store: Store, count: number, options: LoadOptions): Promise<WrittenJob[]> {
  const changes = jobsToLoad(count, options).map(
    ({ job, spec }): GoalChange => ({ job, content: { kind: 'spec', spec } }),
  );
  const jobs: WrittenJob[] = [];
  for (let i = 0; i < count; i += JOBS_A_WRITE) {
    jobs.push(...(await store.write(changes.slice(i, i + JOBS_A_WRITE), ORIGIN)).map(written));
  }
  return jobs;
}

/** Stores a new goal for one job. */
export async function changeJob(
  store: Store,
  { tenant, name }: Pick<WrittenJob, 'tenant' | 'name'>,
  spec: JobSpec,
): Promise<WrittenJob> {
  const [receipt] = await store.write([{ job: { tenant, name }, content: { kind: 'spec', spec } }], ORIGIN);
  if (!receipt) throw new Error('the store gave no receipt');
  return written(receipt);
}
