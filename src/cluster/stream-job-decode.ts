import { z } from 'zod';
import type { JobName } from '../job/ids.ts';
import { LABEL_PREFIX } from '../plan/objects.ts';
import type { ObservedStreamJob, StreamJobStatus } from '../plan/stream-job.ts';
import { keepersOf, lastManagerOf, managedFieldsSchema, scaleManagerOf } from './managed-fields.ts';

const conditionSchema = z.object({
  type: z.enum(['Ready', 'Reconciling', 'Stalled']),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string(),
  message: z.string(),
  lastTransitionTime: z.string(),
  observedGeneration: z.number(),
});

const count = z.number().default(0);

const statusSchema = z.object({
  observedGeneration: z.number(),
  storeId: z.string(),
  jobId: z.string().optional(),
  revision: z.number().optional(),
  specRevision: z.number().optional(),
  specHash: z.string().optional(),
  phase: z.string(),
  workers: z.string().default(''),
  replicas: count,
  readyReplicas: count,
  restarts: count,
  selector: z.string().optional(),
  tier: z.string().optional(),
  cell: z.string().optional(),
  conditions: z.array(conditionSchema).default([]),
  writtenBy: z.string().default(''),
});

const objectSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    resourceVersion: z.string(),
    generation: z.number().default(1),
    deletionTimestamp: z.string().optional(),
    finalizers: z.array(z.string()).default([]),
    annotations: z.record(z.string(), z.string()).default({}),
    managedFields: managedFieldsSchema,
  }),
  spec: z.unknown().optional(),
  status: z.unknown().optional(),
});

/** A status that somebody else wrote, or an older version of ours, says nothing: it is made anew. */
function decodeStatus(raw: unknown): StreamJobStatus | null {
  const parsed = statusSchema.safeParse(raw);
  return parsed.success ? (parsed.data as StreamJobStatus) : null;
}

/** A StreamJob as the API server sent it. @throws ZodError when it is no Kubernetes object */
export function decodeStreamJob(raw: unknown): ObservedStreamJob {
  const { metadata, spec, status } = objectSchema.parse(raw);
  const job: JobName = { tenant: metadata.namespace, name: metadata.name };
  return {
    job,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    generation: metadata.generation,
    isDeleting: metadata.deletionTimestamp !== undefined,
    finalizers: metadata.finalizers,
    // kubectl keeps a copy of the whole object in one of its own.
    annotations: Object.fromEntries(
      Object.entries(metadata.annotations).filter(([key]) => key.startsWith(LABEL_PREFIX)),
    ),
    isAnnotated: Object.keys(metadata.annotations).length > 0,
    spec,
    status: decodeStatus(status),
    keepers: keepersOf(metadata.managedFields),
    lastManager: lastManagerOf(metadata.managedFields),
    scaleManager: scaleManagerOf(metadata.managedFields),
  };
}
