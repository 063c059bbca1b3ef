import { z } from 'zod';
import { type Epoch, epochMark, parseEpoch } from '../job/epoch.ts';
import { SHARD_COUNT, type Shard, type StoreId, shard } from '../job/ids.ts';
import { ClusterError } from '../ports/cluster.ts';

/**
 * The fence in a cluster: a ConfigMap, shared by all stores, with which the policies in manifests/admission compare
 * every write. One key for each store, one line for each shard: the mark that objects of the shard must carry, or `-`.
 *
 * Not a key for each shard, since the API server converts the whole map for each write that it checks: 256 keys cost
 * 2 ms of its processor a write and store, one key is not to be seen.
 */

export const FENCE_NAMESPACE = 'bulkhead-system';
export const FENCE_NAME = 'bulkhead-fence';
export const FENCE_PATH = `/api/v1/namespaces/${FENCE_NAMESPACE}/configmaps/${FENCE_NAME}`;
export const FENCE_REMEDY =
  'install it with: kubectl apply --server-side -f install.yaml (or, for an operator outside the cluster: -k manifests/admission)';

/** The line of a shard that has no epoch yet. */
const NONE = '-';

const configMapSchema = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  data: z.record(z.string(), z.string()).default({}),
});

/** The fence as it is now, as far as it concerns one store. */
export interface FenceState {
  readonly resourceVersion: string;
  readonly epochs: ReadonlyMap<Shard, Epoch>;
}

/** @throws ClusterError `unfenced` for a line that no Bulkhead wrote: nothing can be compared with it */
export function decodeFence(storeId: StoreId, raw: unknown): FenceState {
  const { metadata, data } = configMapSchema.parse(raw);
  const epochs = new Map<Shard, Epoch>();
  for (const line of data[storeId]?.split('\n') ?? []) {
    if (line === NONE) continue;
    const [, index, text = ''] = /^(\d{1,3}):(.*)$/.exec(line) ?? [];
    const epoch = parseEpoch(text);
    if (epoch === null || Number(index) >= SHARD_COUNT) throw notAnEpoch(storeId, line);
    epochs.set(shard(Number(index)), epoch);
  }
  return { resourceVersion: metadata.resourceVersion, epochs };
}

/** The ConfigMap's text for a store: every shard's line in its place. */
export const encodeFence = (epochs: ReadonlyMap<Shard, Epoch>): string =>
  Array.from({ length: SHARD_COUNT }, (_, index) => {
    const epoch = epochs.get(shard(index));
    return epoch ? epochMark(shard(index), epoch) : NONE;
  }).join('\n');

const notAnEpoch = (storeId: StoreId, line: string): ClusterError =>
  new ClusterError(
    'unfenced',
    `the cluster's fence has the line ${JSON.stringify(line)} for store ${storeId}, which is no epoch; remove the store's key from the ConfigMap ${FENCE_NAMESPACE}/${FENCE_NAME} as group bulkhead:break-glass`,
  );
