import { isMap } from '../job/canonical.ts';
import type { ObjectKey, ObjectMeta } from './objects.ts';
import { type CellObservation, seenAt } from './observation.ts';

/** How far a Deployment's workers have come. */
export interface Rollout {
  readonly desired: number;
  readonly ready: number;
  readonly updated: number;
  /** All workers run the newest template, all are available, and none of an older one is left. */
  readonly done: boolean;
  /** Why the Deployment could not make pods, in the API server's words; null when it could. */
  readonly refused: string | null;
  /** The Deployment controller gave up waiting for progress. */
  readonly stuck: boolean;
}

const count = (value: unknown, otherwise = 0): number => (typeof value === 'number' ? value : otherwise);

/** Reads a live Deployment; a count that is not there is 0, as the API server leaves such out. */
export function rolloutOf(deployment: { readonly metadata: ObjectMeta; readonly [field: string]: unknown }): Rollout {
  const status = isMap(deployment.status) ? deployment.status : {};
  const desired = count(isMap(deployment.spec) ? deployment.spec.replicas : undefined, 1);
  const conditions = Array.isArray(status.conditions) ? status.conditions.filter(isMap) : [];
  const failure = conditions.find(({ type, status: value }) => type === 'ReplicaFailure' && value === 'True');
  return {
    desired,
    ready: count(status.readyReplicas),
    updated: count(status.updatedReplicas),
    done:
      count(status.observedGeneration) >= count(deployment.metadata.generation) &&
      count(status.updatedReplicas) === desired &&
      count(status.availableReplicas) >= desired &&
      count(status.replicas) === desired,
    refused: failure ? String(failure.message ?? '') : null,
    stuck: conditions.some(({ type, reason }) => type === 'Progressing' && reason === 'ProgressDeadlineExceeded'),
  };
}

/** What a Deployment's workers still lack, as a sentence; null when nothing. */
export function rolloutWait(observed: CellObservation, deployment: ObjectKey): string | null {
  const rollout = seenAt(observed.objects, deployment)?.rollout;
  if (!rollout || rollout.done) return null;
  return `${rollout.ready} of ${rollout.desired} workers are ready, ${rollout.updated} run the newest template`;
}
