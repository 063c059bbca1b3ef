import type { Epoch } from '../job/epoch.ts';
import type { ClusterId, JobId, Shard } from '../job/ids.ts';
import type { ClusterAction } from '../plan/actions.ts';
import type { KubeObject, ObjectKey, ObservedObject } from '../plan/objects.ts';
import type { Fence } from './shards.ts';

/** What the rest of Bulkhead asks of a Kubernetes cluster. */

/**
 * Why a call failed, as far as it decides what happens next.
 * - `conflict`: somebody else changed or made the object: observe and decide again.
 * - `gone`: the object (or its namespace) is not there any more.
 * - `terminating`: the namespace is being deleted.
 * - `invalid`: the API server refuses this object; a retry alone does not help.
 * - `forbidden`: we lack the right, or a policy or quota refuses.
 * - `fenced`: the fence in the cluster refuses our epoch: another replica owns the shard.
 * - `unfenced`: the policy that keeps the fence is missing or does not work: nothing may be written.
 * - `throttled`: try again after `retryAfterMs`.
 * - `unavailable`: no answer, or a 5xx; nothing is known about the outcome.
 */
export type ClusterErrorKind =
  | 'conflict'
  | 'gone'
  | 'terminating'
  | 'invalid'
  | 'forbidden'
  | 'fenced'
  | 'unfenced'
  | 'unauthorized'
  | 'throttled'
  | 'unavailable';

export class ClusterError extends Error {
  readonly kind: ClusterErrorKind;
  readonly retryAfterMs: number | null;
  constructor(kind: ClusterErrorKind, message: string, options: ErrorOptions & { retryAfterMs?: number } = {}) {
    super(message, options);
    this.name = 'ClusterError';
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}

/** Where a job's cell is looked for. */
export interface CellAddress {
  readonly id: JobId;
  /** The namespace that is the job's own in tier `namespace`. It is looked at whoever has it, and in whatever tier. */
  readonly namespace: string;
}

/** Executes one action of a plan and decides nothing. */
export interface ActionExecutor {
  /**
   * Every write carries the fence's epoch; a delete first marks the object with it, so that a stale one is refused too.
   * @returns the object as the API server stored it; null after a delete
   * @throws ClusterError
   */
  execute(action: ClusterAction, fence: Fence): Promise<KubeObject | null>;
  /** A live read, past every cache. null when the object is not there. @throws ClusterError */
  read(key: ObjectKey): Promise<ObservedObject | null>;
}

/** Who a cluster is, and whether cells of other stores are in it. */
export interface ClusterIdentity {
  readonly id: ClusterId;
  readonly contextName: string;
  readonly server: string;
  readonly caCertificate: string | null;
}

/** The fence in a cluster: which epoch may write for each shard. Kept by an admission policy there. */
export interface EpochFence {
  /** What it says for our store. Empty where it has never been raised. @throws ClusterError */
  read(): Promise<ReadonlyMap<Shard, Epoch>>;
  /**
   * Raises it to these epochs and proves by dry runs that the cluster now refuses every other epoch and takes these.
   * An epoch of our own number that another process raised is ahead of us: every claim gets a number of its own.
   * @param follows whether a person has confirmed that our store goes on from there
   * @returns the fences under which may be written now, and those that the cluster's fence is ahead of
   * @throws ClusterError `unfenced` when the policy or its parameter is missing or does not work; says what to apply
   */
  raise(
    fences: readonly Fence[],
    follows: (shard: Shard, found: Epoch) => Promise<boolean>,
  ): Promise<{
    readonly raised: readonly Fence[];
    readonly behind: readonly { readonly fence: Fence; readonly found: Epoch }[];
  }>;
}
