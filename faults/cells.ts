import type { Transport } from '../src/cluster/transport.ts';
import type { StoreId } from '../src/job/ids.ts';
import { LABELS } from '../src/plan/objects.ts';
import type { LocalCluster } from '../test/cluster/types.ts';
import { auditMark, auditSince } from '../test/support/audit.ts';

/** What is in the cluster, seen by somebody other than the operator. */

interface Listed {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly status?: { readonly containerStatuses?: readonly { readonly restartCount: number }[] };
}

async function listOf(api: Transport, path: string, storeId: StoreId): Promise<readonly Listed[]> {
  const labelSelector = `${LABELS.store}=${storeId}`;
  return ((await api.call('GET', path, { query: { labelSelector } })) as { items: readonly Listed[] }).items;
}

/** Names of all namespaces of a store, also of those that are ending. */
async function namespacesOf(api: Transport, storeId: StoreId): Promise<string[]> {
  return (await listOf(api, '/api/v1/namespaces', storeId)).map(({ metadata }) => metadata.name);
}

/** The cells of a store: UID of each namespace that is not ending, by job id. */
export async function cellsOf(api: Transport, storeId: StoreId): Promise<Map<string, string>> {
  const namespaces = await listOf(api, '/api/v1/namespaces', storeId);
  const alive = namespaces.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  return new Map(alive.map(({ metadata }) => [metadata.labels?.[LABELS.jobId] ?? '', metadata.uid]));
}

/** Every worker by UID, with its container restarts: what must not change while something else is away. */
export async function workersOf(api: Transport, storeId: StoreId): Promise<Map<string, number>> {
  const pods = await listOf(api, '/api/v1/pods', storeId);
  const restarts = ({ status }: Listed) =>
    (status?.containerStatuses ?? []).reduce((sum, container) => sum + container.restartCount, 0);
  return new Map(pods.map((pod) => [pod.metadata.uid, restarts(pod)]));
}

/** How many of the workers from before are gone or were restarted since. */
export function disturbed(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): number {
  return [...before].filter(([uid, restarts]) => after.get(uid) !== restarts).length;
}

/** From the API server's audit log: deletes of a store's cells or of what is in them that landed, whoever asked. */
export interface Deletions {
  /** Paths of what was deleted since it was made. */
  readonly since: () => Promise<readonly string[]>;
}

const OWN_PARTS = /^system:(?:serviceaccount:kube-system:|kube-controller-manager|kube-scheduler|node:|apiserver)/;

/** Counts what anybody but Kubernetes itself deletes from now on, in the cells that are there now or at the end. */
export async function watchDeletions(
  cluster: Pick<LocalCluster, 'auditLogPath'>,
  api: Transport,
  storeId: StoreId,
): Promise<Deletions> {
  const mark = auditMark(cluster.auditLogPath);
  const before = await namespacesOf(api, storeId);
  return {
    since: async () => {
      const cells = new Set([...before, ...(await namespacesOf(api, storeId))]);
      const entries = await auditSince(cluster.auditLogPath, mark);
      return (
        entries
          .filter(({ verb }) => verb === 'delete' || verb === 'deletecollection')
          .filter(({ code, user }) => code < 300 && !OWN_PARTS.test(user))
          .map(({ uri }) => uri)
          .filter((uri) => cells.has(/\/namespaces\/([^/?]+)/.exec(uri)?.[1] ?? ''))
          // Workers are deleted by whoever plays them, too: see disturbed().
          .filter((uri) => !/\/pods\b/.test(uri))
      );
    },
  };
}
