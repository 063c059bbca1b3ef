import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { z } from 'zod';
import { type ClusterId, clusterId, type StoreId } from '../job/ids.ts';
import { LABELS, MANAGER } from '../plan/objects.ts';
import type { ClusterIdentity } from '../ports/cluster.ts';
import type { KnownCluster } from '../ports/store.ts';
import { listSchema } from './decode.ts';
import type { FormerClusterWatch } from './former-cluster.ts';
import { collectionPath } from './paths.ts';
import { IN_CLUSTER_CONTEXT } from './target.ts';
import type { Transport } from './transport.ts';

const PROBE_TIMEOUT_MS = 3_000;

const namespaceSchema = z.object({ metadata: z.object({ uid: z.string() }) });

/** A cluster is the UID of its kube-system namespace, whatever its address. @throws ClusterError */
export async function identify(transport: Transport): Promise<ClusterIdentity> {
  const { contextName, server, tls } = transport.target;
  const raw = namespaceSchema.parse(await transport.call('GET', '/api/v1/namespaces/kube-system'));
  return { id: clusterId(raw.metadata.uid), contextName, server, caCertificate: tls.ca };
}

/**
 * Whether cells of a store other than ours are in the cluster: each has a service account, and one by itself a namespace.
 * @param namespaces where to look; null where all may be looked at
 * @throws ClusterError
 */
export async function holdsOtherStores(
  transport: Transport,
  storeId: StoreId,
  namespaces: readonly string[] | null = null,
): Promise<boolean> {
  const paths = namespaces?.map((name) => collectionPath('ServiceAccount', name)) ?? [
    collectionPath('Namespace'),
    collectionPath('ServiceAccount'),
  ];
  const labelSelector = `${LABELS.managedBy}=${MANAGER},${LABELS.store},${LABELS.store}!=${storeId}`;
  const pages = await Promise.all(
    paths.map((path) => transport.call('GET', path, { query: { labelSelector, limit: '1' } })),
  );
  return pages.some((page) => (listSchema.parse(page).items ?? []).length > 0);
}

/**
 * Whether a former cluster is still there; `unknown` where that cannot be found out from here. In a pod only its replicas
 * tell: `connected`, or a silence that has to last yet.
 */
export type OldCluster = 'answers' | 'connected' | 'silent' | 'unknown' | { readonly silentUntil: Date };

/** One time-out may be a hiccup: only silence that lasts is silence. */
const PROBES = 3;
const PROBE_PAUSE_MS = 1_000;

/**
 * Looks for the cluster that we knew at its old address: a TLS handshake under its own CA succeeds only with its own
 * API server, and needs no credentials that may be gone by now. Unknown without a CA of its own. In a pod the address is
 * the same in every cluster and always leads to one's own: see {@link askReplicas}.
 */
export async function probeCluster(known: KnownCluster): Promise<OldCluster> {
  if (known.caCertificate === null) return 'unknown';
  for (let probe = 0; probe < PROBES; probe += 1) {
    if (probe > 0) await sleep(PROBE_PAUSE_MS);
    if (await shakesHands(known.server, known.caCertificate)) return 'answers';
  }
  return 'silent';
}

export const isInPod = (known: KnownCluster): boolean => known.contextName === IN_CLUSTER_CONTEXT;

/** Looks for the cluster that we knew by the replicas that are connected to it. @throws StoreError */
export async function askReplicas(
  watch: FormerClusterWatch,
  known: KnownCluster,
  found: ClusterIdentity,
): Promise<OldCluster> {
  const seen = await watch.look(known.id, found.id);
  return seen.kind === 'waiting' ? { silentUntil: seen.until } : seen.kind;
}

function shakesHands(server: string, ca: string): Promise<boolean> {
  const url = new URL(server);
  return new Promise((resolve) => {
    const socket = connect({
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: Number(url.port || 443),
      ca,
      timeout: PROBE_TIMEOUT_MS,
      // Only who signed the certificate matters here, not the name that we reached it by.
      checkServerIdentity: () => undefined,
    });
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('secureConnect', () => done(true));
    socket.once('timeout', () => done(false));
    socket.once('error', () => done(false));
  });
}

export type Admission =
  | { readonly kind: 'same' }
  /** A first cluster, or one that took a lost one's place. */
  | { readonly kind: 'adopt'; readonly why: string }
  /** Probably one that took a lost one's place: asked again, it is taken in once that is sure. */
  | { readonly kind: 'wait'; readonly why: string }
  /** A person must decide; `why` says what is the matter and what to do. */
  | { readonly kind: 'refuse'; readonly why: string };

export interface AdmissionInput {
  readonly known: KnownCluster | null;
  readonly found: ClusterIdentity;
  /** Asked only when the answer matters. */
  readonly oldCluster: () => Promise<OldCluster>;
  readonly otherStores: () => Promise<boolean>;
  /** A cluster id that a person has accepted; null where none did. */
  readonly accepted: ClusterId | null;
}

/**
 * Whether the cluster at hand is the one that this store's jobs belong to (design: "Who is who"). A new UID is a lost
 * and replaced cluster only under the same context name, when the old one answers no more and no other store lives
 * there; in all other cases writing could run every job twice, so a person decides.
 */
export async function admit(input: AdmissionInput): Promise<Admission> {
  const { known, found, accepted } = input;
  if (!known) return { kind: 'adopt', why: `first cluster of this store (context ${found.contextName})` };
  if (known.id === found.id) return { kind: 'same' };
  if (accepted === found.id) return { kind: 'adopt', why: 'accepted by a person' };
  const what = `the jobs live in cluster ${known.id} (context ${known.contextName}), but this is cluster ${found.id} (context ${found.contextName})`;
  const remedy = `go back to the former context, or move every job here with: bulkhead run --accept-cluster ${found.id}`;
  if (known.contextName !== found.contextName) return { kind: 'refuse', why: `${what}; ${remedy}` };
  const old = await input.oldCluster();
  if (typeof old === 'object') {
    const until = old.silentUntil.toISOString().slice(11, 19);
    const why = `${what}, which is taken in unless a replica connects to the former one until ${until} UTC`;
    return { kind: 'wait', why };
  }
  if (old === 'answers') return { kind: 'refuse', why: `${what}, and the former one still answers; ${remedy}` };
  if (old === 'connected') {
    return { kind: 'refuse', why: `${what}, and replicas of this store work in the former one; ${remedy}` };
  }
  if (old === 'unknown') {
    return {
      kind: 'refuse',
      why: `${what}, and whether the former one still runs cannot be known from here; ${remedy}`,
    };
  }
  if (await input.otherStores())
    return { kind: 'refuse', why: `${what}, and cells of another store are in it; ${remedy}` };
  return { kind: 'adopt', why: `cluster ${known.id} was lost and replaced by ${found.id}` };
}
