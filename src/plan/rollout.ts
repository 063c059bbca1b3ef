import { isMap } from '../job/canonical.ts';
import type { ObjectMeta } from './objects.ts';

/**
 * A quota or a limit that grows with its workers is in force a moment after both were written: until then the API server
 * refuses pods, and the Deployment tries again by itself. Before this time is over that is nobody's trouble.
 */
const PASSING_MS = 5_000;

export interface Refusal {
  /** In the API server's words. */
  readonly message: string;
  /** By the cluster's clock, in whole seconds, as milliseconds since 1970; NaN where it does not say. */
  readonly since: number;
}

/** How far a Deployment's workers have come. */
export interface Rollout {
  readonly desired: number;
  readonly ready: number;
  readonly updated: number;
  /** All workers run the newest template, all are available, and none of an older one is left. */
  readonly done: boolean;
  /** Why the Deployment could not make pods; null when it could. */
  readonly refused: Refusal | null;
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
    refused: failure
      ? { message: String(failure.message ?? ''), since: Date.parse(String(failure.lastTransitionTime ?? '')) }
      : null,
    stuck: conditions.some(({ type, reason }) => type === 'Progressing' && reason === 'ProgressDeadlineExceeded'),
  };
}

/** When a refusal that may pass by itself is over or becomes trouble; null for one that has lasted, or is from the future. */
export function passesAt(refused: Refusal | null, now: number): number | null {
  const isFresh = refused !== null && refused.since <= now && now < refused.since + PASSING_MS;
  return isFresh ? refused.since + PASSING_MS : null;
}

/** What workers still lack, as a sentence. */
export const rolloutWait = ({ ready, desired, updated }: Rollout): string =>
  `${ready} of ${desired} workers are ready, ${updated} run the newest template`;
