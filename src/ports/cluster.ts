import type { ClusterId } from '../job/ids.ts';
import type { ClusterAction } from '../plan/actions.ts';
import type { KubeObject, ObjectKey, ObservedObject } from '../plan/objects.ts';

/** What the rest of Bulkhead asks of a Kubernetes cluster. */

/**
 * Why a call failed, as far as it decides what happens next.
 * - `conflict`: somebody else changed or made the object: observe and decide again.
 * - `gone`: the object (or its namespace) is not there any more.
 * - `terminating`: the namespace is being deleted.
 * - `invalid`: the API server refuses this object; a retry alone does not help.
 * - `forbidden`: we lack the right, or a policy or quota refuses.
 * - `throttled`: try again after `retryAfterMs`.
 * - `unavailable`: no answer, or a 5xx; nothing is known about the outcome.
 */
export type ClusterErrorKind =
  | 'conflict'
  | 'gone'
  | 'terminating'
  | 'invalid'
  | 'forbidden'
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

/** Executes one action of a plan and decides nothing. */
export interface ActionExecutor {
  /**
   * @returns the object as the API server stored it; null after a delete
   * @throws ClusterError
   */
  execute(action: ClusterAction): Promise<KubeObject | null>;
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
