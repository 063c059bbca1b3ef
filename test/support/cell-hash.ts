import { decodeObject, listSchema } from '../../src/cluster/decode.ts';
import { collectionPath } from '../../src/cluster/paths.ts';
import { contentHash } from '../../src/job/canonical.ts';
import type { StoreId } from '../../src/job/ids.ts';
import { CELL_KIND_NAMES, LABELS, type ObservedObject } from '../../src/plan/objects.ts';
import type { LocalCluster } from '../cluster/types.ts';
import { connect } from './operator.ts';

/** What the API server or the cluster allocates anew: everything else must come back as it was. */
const ALLOCATED = new Set(['clusterIP', 'clusterIPs']);
const SYSTEM_ANNOTATIONS = new Set(['deployment.kubernetes.io/revision']);

const without = (map: unknown, names: ReadonlySet<string>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries((map as Record<string, unknown> | undefined) ?? {}).filter(([key]) => !names.has(key)),
  );

function canonical(object: ObservedObject): unknown {
  const { metadata, status: _status, spec, ...rest } = object;
  return {
    ...rest,
    spec: without(spec, ALLOCATED),
    metadata: {
      name: metadata.name,
      namespace: metadata.namespace,
      labels: metadata.labels,
      annotations: without(metadata.annotations, SYSTEM_ANNOTATIONS),
    },
  };
}

/**
 * The canonical hash of every cell's objects, by `tenant/job`: of all that is live, except identities, versions, times,
 * status and addresses that a cluster hands out anew.
 */
export async function cellHashes(
  cluster: Pick<LocalCluster, 'kubeconfigPath' | 'context'>,
  storeId: StoreId,
): Promise<Map<string, string>> {
  const api = await connect(cluster);
  const cells = new Map<string, unknown[]>();
  try {
    for (const kind of CELL_KIND_NAMES) {
      const query = { labelSelector: `${LABELS.store}=${storeId}` };
      const page = listSchema.parse(await api.call('GET', collectionPath(kind), { query }));
      const objects = (page.items ?? []).map((item) => decodeObject(kind, item));
      for (const object of objects.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
        const name = `${object.metadata.labels?.[LABELS.tenant]}/${object.metadata.labels?.[LABELS.job]}`;
        cells.set(name, [...(cells.get(name) ?? []), canonical(object)]);
      }
    }
  } finally {
    await api.close();
  }
  return new Map([...cells].sort().map(([name, objects]) => [name, contentHash(objects)]));
}
