import { z } from 'zod';
import { decodeObject, listSchema } from '../cluster/decode.ts';
import { createPath, objectPath, podsPath } from '../cluster/paths.ts';
import type { Transport } from '../cluster/transport.ts';
import { tierOf } from '../job/defaults.ts';
import type { Goal } from '../job/goal.ts';
import type { StoreId } from '../job/ids.ts';
import { TIERS, type Tier } from '../job/tier.ts';
import { cellPlace } from '../plan/names.ts';
import {
  CELL_KIND_NAMES,
  type CellKind,
  LABELS,
  type ObjectKey,
  type ObservedObject,
  SHARED_KINDS,
} from '../plan/objects.ts';
import type { CellObservation } from '../plan/observation.ts';
import { reducePod } from '../plan/pods.ts';
import { readObject } from '../plan/seen.ts';
import { ClusterError } from '../ports/cluster.ts';

/** A person waits for the answer: rather no live look than a long one. */
const CALL_TIMEOUT_MS = 5_000;

const podSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string(), namespace: z.string(), creationTimestamp: z.string().default('') }),
});
export type RawPod = z.infer<typeof podSchema>;

async function readOne(transport: Transport, key: ObjectKey): Promise<ObservedObject | null> {
  try {
    return decodeObject(key.kind, await transport.call('GET', objectPath(key), { timeoutMs: CALL_TIMEOUT_MS }));
  } catch (error) {
    if (error instanceof ClusterError && error.kind === 'gone') return null;
    throw error;
  }
}

async function listItems(transport: Transport, path: string, query: Record<string, string> = {}): Promise<unknown[]> {
  return listSchema.parse(await transport.call('GET', path, { query, timeoutMs: CALL_TIMEOUT_MS })).items ?? [];
}

/**
 * What is found in one of the places of a cell. Who may look only where the job is now is not kept from that: the other
 * place, which it may have come from, then shows nothing.
 */
async function within<T>(goal: Goal, tier: Tier, look: () => Promise<T[]>): Promise<T[]> {
  try {
    return await look();
  } catch (error) {
    const now = tierOf(goal.content) ?? 'namespace';
    if (error instanceof ClusterError && error.kind === 'forbidden' && tier !== now) return [];
    throw error;
  }
}

/** The pods of a job, as the API server has them, in both places in which they may be. @throws ClusterError */
export async function listPods(transport: Transport, storeId: StoreId, goal: Goal): Promise<RawPod[]> {
  const labelSelector = `${LABELS.jobId}=${goal.job.id}`;
  const pathIn = (tier: Tier) => podsPath(cellPlace(storeId, goal.job, tier).namespace);
  const items = await Promise.all(
    TIERS.map((tier) => within(goal, tier, () => listItems(transport, pathIn(tier), { labelSelector }))),
  );
  return items.flat().map((item) => podSchema.parse(item));
}

/** What lies in the job's place in tier `shared`, or stands at one of its names there. */
async function readShared(transport: Transport, storeId: StoreId, goal: Goal): Promise<ObservedObject[]> {
  const place = cellPlace(storeId, goal.job, 'shared');
  const found = await Promise.all(SHARED_KINDS.map((kind) => readOne(transport, { kind, ...place })));
  return found.filter((object) => object !== null);
}

/** What lies in the namespace of the job's own, as far as it is our store's or stands at one of our names. */
async function readOwn(transport: Transport, storeId: StoreId, goal: Goal): Promise<ObservedObject[]> {
  const { namespace, name } = cellPlace(storeId, goal.job, 'namespace');
  const own = await readOne(transport, { kind: 'Namespace', namespace: '', name: namespace });
  if (!own) return [];
  const listKind = async (kind: CellKind): Promise<ObservedObject[]> => {
    const items = await listItems(transport, createPath({ kind, namespace, name: '' }));
    return items.map((item) => decodeObject(kind, item));
  };
  const objects = await Promise.all(CELL_KIND_NAMES.filter((kind) => kind !== 'Namespace').map(listKind));
  const isSeen = ({ metadata }: ObservedObject) =>
    metadata.labels?.[LABELS.store] === storeId || metadata.name === name;
  return [own, ...objects.flat().filter(isSeen)];
}

/**
 * Looks at a job's cell past every cache, as the operator's watches would show it: what carries our store's label, and
 * what stands at one of our names, in both places in which the cell may be.
 * @throws ClusterError
 */
export async function observeCell(transport: Transport, storeId: StoreId, goal: Goal): Promise<CellObservation> {
  const [own, shared, pods] = await Promise.all([
    within(goal, 'namespace', () => readOwn(transport, storeId, goal)),
    within(goal, 'shared', () => readShared(transport, storeId, goal)),
    listPods(transport, storeId, goal),
  ]);
  return {
    objects: [...own, ...shared].map(readObject),
    pods: pods.map(reducePod),
    settled: new Map(),
  };
}
