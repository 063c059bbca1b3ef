import { setTimeout as sleep } from 'node:timers/promises';
import type { StoreId } from '../job/ids.ts';
import { ANNOTATIONS, LABELS, MANAGER } from '../plan/objects.ts';
import { ClusterError } from '../ports/cluster.ts';
import { FENCE_NAMESPACE, FENCE_REMEDY } from './epoch-fence-data.ts';
import type { Caller } from './transport.ts';

const PROBES_PATH = `/api/v1/namespaces/${FENCE_NAMESPACE}/serviceaccounts`;
/** Only tried, never made; the name is the server's choice, so that nothing that is there can be in the way. */
const PROBE_NAME = 'bulkhead-fence-probe-';
/** Policies learn their parameters within milliseconds, and of themselves within about a second. */
const PROOF_TIMEOUT_MS = 10_000;
/** What no fence ever names. */
const NO_EPOCH = '';
const MIN_PAUSE_MS = 20;
const MAX_PAUSE_MS = 250;

export interface Proof {
  readonly storeId: StoreId;
  /** Marks of an epoch that must be refused, and of ours, which must be taken. */
  readonly wrong: string;
  readonly right: string;
  /** Whether the fence still names ours: it may have been raised by somebody else meanwhile. */
  readonly stillOurs: () => Promise<boolean>;
}

/**
 * Tries writes until the cluster refuses the wrong epoch and takes the right one. An API server reads its policies and
 * their parameters through a cache, so that raising the fence alone proves nothing.
 * @returns false when the fence has moved on, so that there is nothing left to prove
 * @throws ClusterError `unfenced` when that does not come to be within about 10 s
 */
export async function prove(transport: Caller, proof: Proof): Promise<boolean> {
  const { storeId, wrong, right, stillOurs } = proof;
  const deadline = performance.now() + PROOF_TIMEOUT_MS;
  for await (const _ of pauses(deadline)) {
    if ((await refusal(transport, storeId, wrong)) !== null) break;
    if (performance.now() < deadline) continue;
    throw (await refusal(transport, storeId, NO_EPOCH)) ? outOfSight(right, `it takes ${wrong}`) : notEnforced(wrong);
  }
  let said = '';
  for await (const _ of pauses(deadline)) {
    const refused = await refusal(transport, storeId, right);
    if (refused === null) return true;
    if (!(await stillOurs())) return false;
    said = refused.message;
  }
  throw outOfSight(right, said);
}

/** Yields at once, then after pauses that grow, and once more at the deadline. */
async function* pauses(deadline: number): AsyncGenerator<void> {
  yield;
  for (let pauseMs = MIN_PAUSE_MS; performance.now() < deadline; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
    await sleep(pauseMs);
    yield;
  }
}

const notEnforced = (wrong: string): ClusterError =>
  new ClusterError(
    'unfenced',
    `the cluster takes a write under the epoch ${wrong}, which its fence does not name: the policy bulkhead-fence is missing, or this user is exempt from it (group bulkhead:break-glass); ${FENCE_REMEDY}`,
  );

/** An API server whose last policy with a ConfigMap was unbound once follows ConfigMaps no more. */
const outOfSight = (right: string, said: string): ClusterError =>
  new ClusterError(
    'unfenced',
    `the cluster's fence names ${right}, but the API server does not keep to that; where the policies were deleted and made again, it has lost sight of the fence until kube-apiserver is restarted (kubernetes/kubernetes#130887). It says: ${said}`,
  );

/** Tries to make a labelled object under an epoch. @returns why that was refused; null when it would have been made */
async function refusal(transport: Caller, storeId: StoreId, mark: string): Promise<ClusterError | null> {
  const metadata = {
    generateName: PROBE_NAME,
    labels: { [LABELS.managedBy]: MANAGER, [LABELS.store]: storeId },
    annotations: { [ANNOTATIONS.epoch]: mark },
  };
  const body = { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false };
  try {
    const query = { fieldManager: MANAGER, dryRun: 'All' };
    await transport.call('POST', PROBES_PATH, { query, body, urgent: true });
    return null;
  } catch (error) {
    if (error instanceof ClusterError && (error.kind === 'fenced' || error.kind === 'unfenced')) return error;
    throw error;
  }
}
