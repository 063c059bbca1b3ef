import { z } from 'zod';
import type { ObservedPod } from './observation.ts';

const exit = z.object({
  reason: z.string().default(''),
  exitCode: z.number().default(0),
  message: z.string().default(''),
});

const containerStatus = z.object({
  restartCount: z.number().default(0),
  state: z
    .object({
      waiting: z.object({ reason: z.string().optional(), message: z.string().optional() }).optional(),
      terminated: exit.optional(),
    })
    .default({}),
  lastState: z.object({ terminated: exit.optional() }).default({}),
});

/** The few fields of a Pod that Bulkhead reads; everything else is dropped at the edge and takes no memory. */
const podSchema = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    deletionTimestamp: z.string().optional(),
  }),
  status: z
    .object({
      phase: z.string().default('Unknown'),
      conditions: z
        .array(
          z.object({
            type: z.string(),
            status: z.string(),
            reason: z.string().optional(),
            message: z.string().optional(),
          }),
        )
        .default([]),
      containerStatuses: z.array(containerStatus).default([]),
    })
    .default({ phase: 'Unknown', conditions: [], containerStatuses: [] }),
});

/** Reduces a Pod of the API server. @throws ZodError when it is no Pod */
export function reducePod(raw: unknown): ObservedPod {
  const { metadata, status } = podSchema.parse(raw);
  const container = status.containerStatuses[0];
  const scheduled = status.conditions.find((c) => c.type === 'PodScheduled');
  return {
    name: metadata.name,
    namespace: metadata.namespace,
    uid: metadata.uid,
    phase: status.phase,
    ready: status.conditions.some((c) => c.type === 'Ready' && c.status === 'True'),
    terminating: metadata.deletionTimestamp !== undefined,
    restarts: container?.restartCount ?? 0,
    container: {
      waitingReason: container?.state.waiting?.reason ?? null,
      waitingMessage: container?.state.waiting?.message ?? null,
      lastExit: container?.state.terminated ?? container?.lastState.terminated ?? null,
    },
    unschedulable:
      scheduled?.status === 'False' && scheduled.reason === 'Unschedulable'
        ? (scheduled.message ?? 'no node fits')
        : null,
  };
}
