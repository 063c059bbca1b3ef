import type { StatusInput } from '../plan/status.ts';
import type { ClusterError } from '../ports/cluster.ts';

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
