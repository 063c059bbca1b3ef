import { z } from 'zod';
import { CELL_KINDS, type CellKind, type ObservedObject } from '../plan/objects.ts';

const metadataSchema = z.looseObject({
  name: z.string(),
  namespace: z.string().optional(),
  uid: z.string(),
  resourceVersion: z.string(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  deletionTimestamp: z.string().optional(),
});

const objectSchema = z.looseObject({ metadata: metadataSchema });

/**
 * An object as the API server sent it, without managedFields (two thirds of its size). Items of a list carry no kind,
 * so the caller says which.
 * @throws ZodError when it is no Kubernetes object
 */
export function decodeObject(kind: CellKind, raw: unknown): ObservedObject {
  const { metadata, ...rest } = objectSchema.parse(raw);
  const { managedFields: _managedFields, ...kept } = metadata;
  return { ...rest, apiVersion: CELL_KINDS[kind].apiVersion, kind, metadata: kept } as ObservedObject;
}

export const listSchema = z.object({
  metadata: z.object({ resourceVersion: z.string(), continue: z.string().optional() }),
  items: z.array(z.unknown()).nullable().default([]),
});

export const watchEventSchema = z.object({
  type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']),
  object: z.looseObject({
    metadata: z.looseObject({ resourceVersion: z.string().optional() }).optional(),
    code: z.number().optional(),
    message: z.string().optional(),
  }),
});

/**
 * Whether version `a` is newer than `b`. Since Kubernetes 1.35 versions of one resource may be compared as numbers;
 * other texts count as newer, since then a watch's own order is all there is.
 */
export function isNewer(a: string, b: string): boolean {
  const digits = /^\d+$/;
  return digits.test(a) && digits.test(b) ? BigInt(a) > BigInt(b) : a !== b;
}
