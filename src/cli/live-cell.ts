import { z } from 'zod';
import { decodeObject, listSchema } from '../cluster/decode.ts';
import { createPath, objectPath } from '../cluster/paths.ts';
import type { Transport } from '../cluster/transport.ts';
import type { Goal } from '../job/goal.ts';
import type { StoreId } from '../job/ids.ts';
import { cellNamespace } from '../plan/names.ts';
import {
  CELL_KIND_NAMES,
  type CellKind,
  keyOf,
  keyText,
  LABELS,
  type ObjectKey,
  type ObservedObject,
} from '../plan/objects.ts';
import type { CellObservation } from '../plan/observation.ts';
import { reducePod } from '../plan/pods.ts';
import { ClusterError } from '../ports/cluster.ts';

/** A person waits for the answer: rather no live look than a long one. */
const CALL_TIMEOUT_MS = 5_000;

const podSchema = z.looseObject({
  metadata: z.looseObject({ name: z.string(), creationTimestamp: z.string().default('') }),
});
export type RawPod = z.infer<typeof podSchema>;

async function readNamespace(transport: Transport, name: string): Promise<ObservedObject | null> {
  const key: ObjectKey = { kind: 'Namespace', namespace: '', name };
  try {
    return decodeObject('Namespace', await transport.call('GET', objectPath(key), { timeoutMs: CALL_TIMEOUT_MS }));
  } catch (error) {
    if (error instanceof ClusterError && error.kind === 'gone') return null;
    throw error;
  }
}

async function listItems(transport: Transport, path: string, query: Record<string, string> = {}): Promise<unknown[]> {
  return listSchema.parse(await transport.call('GET', path, { query, timeoutMs: CALL_TIMEOUT_MS })).items ?? [];
}

/** The pods of a job, as the API server has them. @throws ClusterError */
export async function listPods(transport: Transport, namespace: string, goal: Goal): Promise<RawPod[]> {
  const labelSelector = `${LABELS.jobId}=${goal.job.id}`;
  const items = await listItems(transport, `/api/v1/namespaces/${namespace}/pods`, { labelSelector });
  return items.map((item) => podSchema.parse(item));
}

/**
 * Looks at a job's cell past every cache, as the operator's watches would show it: what carries our store's label, and
 * what stands at one of our names.
 * @throws ClusterError
 */
export async function observeCell(transport: Transport, storeId: StoreId, goal: Goal): Promise<CellObservation> {
  const namespace = cellNamespace(storeId, goal.job);
  const own = await readNamespace(transport, namespace);
  if (!own) return { objects: new Map(), pods: [], settled: new Map() };
  const listKind = async (kind: CellKind): Promise<ObservedObject[]> => {
    const items = await listItems(transport, createPath({ kind, namespace, name: '' }));
    return items.map((item) => decodeObject(kind, item));
  };
  const [objects, pods] = await Promise.all([
    Promise.all(CELL_KIND_NAMES.filter((kind) => kind !== 'Namespace').map(listKind)),
    listPods(transport, namespace, goal),
  ]);
  const ours = objects
    .flat()
    .filter(({ metadata }) => metadata.labels?.[LABELS.store] === storeId || metadata.name === goal.job.name);
  return {
    objects: new Map([own, ...ours].map((object) => [keyText(keyOf(object)), object])),
    pods: pods.map(reducePod),
    settled: new Map(),
  };
}
