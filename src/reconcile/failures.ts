import type { ClusterAction } from '../plan/actions.ts';
import type { StatusInput } from '../plan/status.ts';
import { ClusterError } from '../ports/cluster.ts';

/** What only a person, or a change from outside, can mend. */
const NEEDS_A_PERSON: ReadonlySet<ClusterError['kind']> = new Set(['invalid', 'forbidden', 'fenced', 'unauthorized']);

const FAILURE_REASONS: Record<ClusterError['kind'], string> = {
  conflict: 'Conflict',
  gone: 'ObjectGone',
  terminating: 'NamespaceTerminating',
  invalid: 'ObjectRefused',
  forbidden: 'Forbidden',
  fenced: 'ObjectRefused',
  unfenced: 'FenceMissing',
  unauthorized: 'Unauthorized',
  throttled: 'Throttled',
  unavailable: 'ClusterUnavailable',
};

/** A failed write as a status tells of it. @param missingNamespace that of the tenant, which no cell makes */
export function described(failure: ClusterError, missingNamespace: string | null): StatusInput['failure'] {
  if (missingNamespace !== null) {
    const message = `tier shared needs the tenant's namespace ${missingNamespace}, which is not there; make it with: kubectl create namespace ${missingNamespace}`;
    return { reason: 'NamespaceMissing', message, passing: false };
  }
  return {
    reason: FAILURE_REASONS[failure.kind],
    message: failure.message,
    passing: !NEEDS_A_PERSON.has(failure.kind),
  };
}

/** @throws what is no failure of the cluster's, but a mistake of ours */
export function clusterError(reason: unknown): ClusterError {
  if (reason instanceof ClusterError) return reason;
  throw reason;
}

export interface FailedWrite {
  readonly action: ClusterAction;
  readonly error: ClusterError;
}

/**
 * Of writes that were made side by side and failed, the failure that says what comes next: a lost right to write at all,
 * or else what asks for the longest wait.
 * @returns null where a look at the objects, and another plan, may mend all of them
 */
export function decisive(failures: readonly FailedWrite[]): ClusterError | null {
  const lasting = failures.map(({ error }) => error).filter(({ kind }) => kind !== 'conflict' && kind !== 'gone');
  const [longest] = lasting.toSorted((a, b) => (b.retryAfterMs ?? 0) - (a.retryAfterMs ?? 0));
  return lasting.find(({ kind }) => kind === 'fenced' || kind === 'unauthorized') ?? longest ?? null;
}
