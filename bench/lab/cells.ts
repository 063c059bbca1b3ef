import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { CoreV1Api } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { encodeFence, FENCE_NAME, FENCE_NAMESPACE } from '../../src/cluster/epoch-fence-data.ts';
import { effectiveSpec } from '../../src/job/defaults.ts';
import type { Epoch } from '../../src/job/epoch.ts';
import { epochMark } from '../../src/job/epoch.ts';
import { jobId, revision, SHARD_COUNT, type Shard, type StoreId, shard, shardOf, storeId } from '../../src/job/ids.ts';
import type { CellSource } from '../../src/plan/render/cell.ts';
import { CELL_CRD } from '../yardsticks/build.ts';
import { CELLS_PATH, cellOf } from '../yardsticks/cell.ts';
import { createRequests, type ReplayRequest } from '../yardsticks/requests.ts';
import { administrator, applyManifests } from './accounts.ts';
import { benchSpec, jobsToLoad, type LoadOptions, type WrittenJob } from './jobs.ts';
import type { Lab } from './lab.ts';

/** Cells for those who have no store: the same jobs as `loadJobs` stores, under an epoch that nobody else claims. */

/** As long as a real one. */
const EPOCH: Epoch = { system: '7543210987654321098', timeline: 1, n: 1 };

export interface MarkedCell {
  readonly source: CellSource;
  /** What the fence names for the job's shard, once {@link installFence} has run for the store. */
  readonly mark: string;
}

export const newStoreId = (): StoreId => storeId(randomUUID());

export function cellSources(store: StoreId, count: number, options: LoadOptions): MarkedCell[] {
  return jobsToLoad(count, options).map(({ job, spec }) => {
    const id = jobId(randomUUID());
    const source = { storeId: store, job: { ...job, id }, revision: revision(1), spec: effectiveSpec(spec) };
    return { source, mark: epochMark(shardOf(id), EPOCH) };
  });
}

/** Those of stored jobs, under the epochs that an operator of the store has claimed in the lab. */
export async function storedCells(
  lab: Pick<Lab, 'cluster'>,
  store: StoreId,
  jobs: readonly WrittenJob[],
): Promise<MarkedCell[]> {
  const fence = await administrator(lab.cluster)
    .makeApiClient(CoreV1Api)
    .readNamespacedConfigMap({ name: FENCE_NAME, namespace: FENCE_NAMESPACE });
  const marks = fence.data?.[store]?.split('\n') ?? [];
  const spec = effectiveSpec(benchSpec());
  return jobs.map(({ id, tenant, name, revision: of, shard: at }) => {
    const mark = marks[at];
    if (mark === undefined || mark === '-') throw new Error(`nobody has claimed shard ${at} of store ${store}`);
    return { source: { storeId: store, job: { id, tenant, name }, revision: of, spec }, mark };
  });
}

/** Names the epoch of {@link cellSources} for every shard of the store, so that writes under it are let through. */
export async function installFence(lab: Lab, store: StoreId): Promise<void> {
  const shards = Array.from({ length: SHARD_COUNT }, (_, index): [Shard, Epoch] => [shard(index), EPOCH]);
  await applyManifests(lab.cluster, [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: FENCE_NAME, namespace: FENCE_NAMESPACE },
      data: { [store]: encodeFence(new Map(shards)) },
    } as object,
  ]);
}

/** What the replay sends to make these cells: to the byte what Bulkhead sends. */
export const cellRequests = (cells: readonly MarkedCell[]): ReplayRequest[] =>
  cells.flatMap(({ source, mark }) => createRequests(source, mark));

/** Installs the kind that the yardsticks' operators act on. */
export async function installCellKind(lab: Lab): Promise<void> {
  await applyManifests(lab.cluster, [parse(await readFile(CELL_CRD, 'utf8')) as object]);
}

/** What the replay sends, as the yardsticks' account, to make the Cells of these cells. */
export const goalRequests = (cells: readonly MarkedCell[]): ReplayRequest[] =>
  cells.map(({ source, mark }) => ({
    phase: 1,
    key: source.job.id,
    method: 'POST',
    path: CELLS_PATH,
    body: cellOf(source, mark),
  }));

/** The namespaces of the jobs' tenants, which have to be there for tier `shared`. */
export async function installTenants(lab: Lab, count: number, options: LoadOptions): Promise<void> {
  const tenants = new Set(jobsToLoad(count, options).map(({ job }) => job.tenant));
  const namespace = (name: string) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  await applyManifests(lab.cluster, [...tenants].map(namespace));
}
