import { z } from 'zod';
import { type KubeObject, keyOf, keyText } from './objects.ts';
import type { CellObservation } from './observation.ts';

const deploymentSchema = z.object({
  metadata: z.object({ generation: z.number().default(0) }),
  spec: z.object({ replicas: z.number().default(1) }),
  status: z
    .object({
      observedGeneration: z.number().default(0),
      replicas: z.number().default(0),
      updatedReplicas: z.number().default(0),
      readyReplicas: z.number().default(0),
      availableReplicas: z.number().default(0),
      conditions: z
        .array(
          z.object({
            type: z.string(),
            status: z.string(),
            reason: z.string().default(''),
            message: z.string().default(''),
          }),
        )
        .default([]),
    })
    .prefault({}),
});

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

/** Reads a live Deployment. @throws ZodError when it is none */
export function rolloutOf(deployment: KubeObject): Rollout {
  const { metadata, spec, status } = deploymentSchema.parse(deployment);
  const failure = status.conditions.find((c) => c.type === 'ReplicaFailure' && c.status === 'True');
  const current = status.observedGeneration >= metadata.generation;
  return {
    desired: spec.replicas,
    ready: status.readyReplicas,
    updated: status.updatedReplicas,
    done:
      current &&
      status.updatedReplicas === spec.replicas &&
      status.availableReplicas >= spec.replicas &&
      status.replicas === spec.replicas,
    refused: failure?.message ?? null,
    stuck: status.conditions.some((c) => c.type === 'Progressing' && c.reason === 'ProgressDeadlineExceeded'),
  };
}

/** What the workers still lack, as a sentence; null when nothing. */
export function rolloutWait(observed: CellObservation, wanted: readonly KubeObject[]): string | null {
  const deployment = wanted.find((object) => object.kind === 'Deployment');
  const found = deployment && observed.objects.get(keyText(keyOf(deployment)));
  if (!found) return null;
  const rollout = rolloutOf(found);
  if (rollout.done) return null;
  return `${rollout.ready} of ${rollout.desired} workers are ready, ${rollout.updated} run the newest template`;
}
