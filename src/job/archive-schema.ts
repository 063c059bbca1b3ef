import { z } from 'zod';
import { isMap } from './canonical.ts';
import { LAYERS, SOURCES } from './goal.ts';
import { parseJobId } from './ids.ts';
import type { SpecPatch } from './patch.ts';
import { type PlatformContent, platformContentSchema } from './platform.ts';
import { API_VERSION, streamJobSchema } from './spec.ts';

/**
 * The documents of an archive. What jobs said is taken as it was said, also where a later definition would refuse it: it is
 * history, and the effective goal is checked whenever it is made. Everything around it is checked field by field.
 */

/** Grows when a document's form changes so that an older Bulkhead would misread it. */
export const ARCHIVE_FORMAT = 1;

const TIME = 'expected a time in UTC with microseconds, such as 2026-01-31T23:59:59.123456Z';
const isTime = (text: string): boolean => {
  const time = new Date(text);
  return !Number.isNaN(time.getTime()) && time.toISOString().slice(0, 19) === text.slice(0, 19);
};
const time = z
  .string({ error: TIME })
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, TIME)
  .refine(isTime, TIME);
const uuid = z
  .string({ error: 'expected a UUID in lower case' })
  .refine((text) => parseJobId(text) !== null, 'expected a UUID in lower case');
const number = z.int({ error: 'expected a whole number from 1' }).min(1, 'expected a whole number from 1');
const DURATION = 'expected an ISO 8601 duration, such as P7D or PT1H30M';
const duration = z
  .string({ error: DURATION })
  .regex(/^P(?=.)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d{1,6})?S)?)?$/, DURATION);
const JSON_TEXT = 'expected JSON of a list or a map, as text';
const isJson = (value: string): boolean => {
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === 'object' && parsed !== null;
  } catch {
    // Not JSON: the answer is no.
    return false;
  }
};
const hash = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits');
const count = z.int({ error: 'expected a whole number' }).min(0, 'expected a whole number');
const text = z
  .string({ error: 'expected text' })
  .refine((value) => !value.includes('\0'), 'expected text without NUL characters');
const said = z.custom<SpecPatch>(isMap, 'expected a map').optional();
const flag = z.literal(true, { error: 'expected true; leave the field out otherwise' }).optional();

const head = <K extends string>(kind: K) => ({
  apiVersion: z.literal(API_VERSION, { error: `expected ${API_VERSION}` }),
  kind: z.literal(kind, { error: `expected ${kind}` }),
});

const authorship = {
  createdAt: time,
  author: text,
  source: z.enum(SOURCES, { error: `expected one of ${SOURCES.join(', ')}` }),
  reason: text.optional(),
  idempotencyKey: text.optional(),
  contentHash: hash,
};

const jobRevision = z
  .strictObject({
    revision: number,
    layer: z.enum(LAYERS, { error: `expected one of ${LAYERS.join(', ')}` }),
    ...authorship,
    spec: said,
    removed: flag,
    patch: said,
    until: time.optional(),
    cleared: flag,
    takeOver: flag,
  })
  .superRefine((entry, ctx) => {
    const fields = entry.layer === 'job' ? (['spec', 'removed'] as const) : (['patch', 'cleared'] as const);
    const there = (['spec', 'removed', 'patch', 'cleared'] as const).filter((field) => entry[field] !== undefined);
    const [only] = there;
    if (only === undefined || there.length > 1 || !fields.some((field) => field === only)) {
      const message = `expected exactly one of ${fields.join(', ')} beside it`;
      ctx.addIssue({ code: 'custom', path: ['layer'], message });
    }
    if (entry.until !== undefined && (entry.layer !== 'oncall' || entry.patch === undefined)) {
      ctx.addIssue({ code: 'custom', path: ['until'], message: 'expected no end but for a patch of the layer oncall' });
    }
    if (entry.takeOver && entry.layer !== 'job') {
      ctx.addIssue({ code: 'custom', path: ['takeOver'], message: 'expected it with the layer job only' });
    }
  });

const platformRevision = z.strictObject({
  revision: number,
  ...authorship,
  // As it was stored, not as reading it now would write it.
  content: z.custom<PlatformContent>(isMap, 'expected a map').superRefine((content, ctx) => {
    for (const { path, message } of platformContentSchema.safeParse(content).error?.issues ?? []) {
      ctx.addIssue({ code: 'custom', path: [...path], message });
    }
  }),
});

const idempotencyKey = z.strictObject({
  namespace: text.optional(),
  key: text,
  bodyHash: hash,
  // As text, since one answer can be about more jobs than a document may have values.
  receipts: z.string({ error: JSON_TEXT }).refine(isJson, JSON_TEXT),
  createdAt: time,
});

/** Oldest first, each number once. */
function inOrder<R extends { revision: number }>(revisions: readonly R[], ctx: z.RefinementCtx): void {
  for (const [index, entry] of revisions.entries()) {
    const before = revisions[index - 1]?.revision ?? 0;
    if (entry.revision > before) continue;
    const message = `expected a number above ${before}: revisions are there once, oldest first`;
    ctx.addIssue({ code: 'custom', path: [index, 'revision'], message });
  }
}

const { name, namespace } = streamJobSchema.shape.metadata.shape;

export const ARCHIVE_SCHEMAS = {
  Store: z.strictObject({
    ...head('Store'),
    metadata: z.strictObject({ uid: uuid }),
    format: z.literal(ARCHIVE_FORMAT, { error: `expected ${ARCHIVE_FORMAT}, the format that this Bulkhead reads` }),
    undeleteRetention: duration,
  }),
  PlatformHistory: z.strictObject({
    ...head('PlatformHistory'),
    metadata: z.strictObject({ namespace: namespace.optional() }).optional(),
    revisions: z.array(platformRevision).min(1).superRefine(inOrder),
  }),
  JobHistory: z.strictObject({
    ...head('JobHistory'),
    metadata: z.strictObject({ name, namespace, uid: uuid }),
    createdAt: time,
    removedAt: time.optional(),
    revisions: z.array(jobRevision).min(1).superRefine(inOrder),
  }),
  IdempotencyKeys: z.strictObject({
    ...head('IdempotencyKeys'),
    keys: z.array(idempotencyKey).min(1),
  }),
  StoreEnd: z.strictObject({
    ...head('StoreEnd'),
    counts: z.strictObject({ platformRevisions: count, jobs: count, jobRevisions: count, idempotencyKeys: count }),
  }),
} as const;

export type ArchiveKind = keyof typeof ARCHIVE_SCHEMAS;
export type ArchiveDocument = { [K in ArchiveKind]: z.infer<(typeof ARCHIVE_SCHEMAS)[K]> }[ArchiveKind];
export type WrittenRevision = z.infer<typeof jobRevision>;
export type WrittenKey = z.infer<typeof idempotencyKey>;
export type WrittenPlatformRevision = z.infer<typeof platformRevision>;
