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

/** From the API server's audit log: deletes of cells or of what is in them that landed, whoever asked. */
export interface Deletions {
  /** Of a moment; what was there before it does not count. */
  readonly since: () => Promise<readonly string[]>;
}

const OWN_PARTS = /^system:(?:serviceaccount:kube-system:|kube-controller-manager|kube-scheduler|node:|apiserver)/;

/** Counts what anybody but Kubernetes itself deletes from now on. */
export function watchDeletions(cluster: Pick<LocalCluster, 'auditLogPath'>): Deletions {
  const mark = auditMark(cluster.auditLogPath);
  return {
    since: async () => {
      const entries = await auditSince(cluster.auditLogPath, mark);
      return (
        entries
          .filter(({ verb }) => verb === 'delete' || verb === 'deletecollection')
          .filter(({ code, user }) => code < 300 && !OWN_PARTS.test(user))
          // Workers are deleted by whoever plays them, too: see disturbed().
          .filter(({ uri }) => /\/namespaces\/bh-/.test(uri) && !/\/pods\b/.test(uri))
          .map(({ uri }) => uri)
      );
    },
  };
}
