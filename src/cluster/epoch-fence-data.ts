import { z } from 'zod';
import { type Epoch, formatEpoch, parseEpoch } from '../job/epoch.ts';
import { SHARD_COUNT, type Shard, type StoreId, shard } from '../job/ids.ts';
import { ClusterError } from '../ports/cluster.ts';
import type { Fence } from '../ports/store.ts';

/** The fence in a cluster: a ConfigMap, shared by all stores, that the policies in manifests/admission compare with. */

export const FENCE_NAMESPACE = 'bulkhead-system';
export const FENCE_NAME = 'bulkhead-fence';
export const FENCE_PATH = `/api/v1/namespaces/${FENCE_NAMESPACE}/configmaps/${FENCE_NAME}`;
export const FENCE_REMEDY = 'install it with: kubectl apply --server-side -k manifests/admission';

/** The key of one store's shard in the ConfigMap. */
export const fenceKey = (storeId: StoreId, of: Shard): string => `${storeId}.${of}`;

/** What an object's annotation says: under which shard's epoch it was written. */
export const epochMark = (of: Shard, epoch: Epoch): string => `${of}:${formatEpoch(epoch)}`;

export const fenceMark = (fence: Fence): string => epochMark(fence.shard, fence.epoch);

const configMapSchema = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  data: z.record(z.string(), z.string()).default({}),
});

/** The fence as it is now, as far as it concerns one store. */
export interface FenceState {
  readonly resourceVersion: string;
  readonly epochs: ReadonlyMap<Shard, Epoch>;
}

/** @throws ClusterError `unfenced` for an epoch that no Bulkhead wrote: nothing can be compared with it */
export function decodeFence(storeId: StoreId, raw: unknown): FenceState {
  const { metadata, data } = configMapSchema.parse(raw);
  const epochs = new Map<Shard, Epoch>();
  for (let index = 0; index < SHARD_COUNT; index += 1) {
    const text = data[fenceKey(storeId, shard(index))];
    if (text === undefined) continue;
    const epoch = parseEpoch(text);
    if (epoch === null) throw notAnEpoch(fenceKey(storeId, shard(index)), text);
    epochs.set(shard(index), epoch);
  }
  return { resourceVersion: metadata.resourceVersion, epochs };
}

const notAnEpoch = (key: string, text: string): ClusterError =>
  new ClusterError(
    'unfenced',
    `the cluster's fence names ${JSON.stringify(text)} for ${key}, which is no epoch; remove that key from the ConfigMap ${FENCE_NAMESPACE}/${FENCE_NAME} as group bulkhead:break-glass`,
  );
