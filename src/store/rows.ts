import type {
  Authorship,
  JobContent,
  JobRevision,
  Layer,
  LayerContent,
  OverlayContent,
  PlatformRevision,
  Source,
} from '../job/goal.ts';
import { type JobRef, jobId, revision } from '../job/ids.ts';
import type { SpecPatch } from '../job/patch.ts';
import type { PlatformContent } from '../job/platform.ts';
import type { JobSpec } from '../job/spec.ts';

/** Rows as `pg` gives them, and the edge at which they become Bulkhead's types. */
export interface JobRow {
  readonly job_id: string;
  readonly tenant: string;
  readonly name: string;
}

export const toJobRef = (row: JobRow): JobRef => ({ id: jobId(row.job_id), tenant: row.tenant, name: row.name });

/** What the three tables of revisions have in common. */
export interface RevisionRow {
  readonly revision: number;
  /** null: a tombstone, or an overlay that is no more. */
  readonly content: unknown;
  readonly content_hash: string;
  readonly author: string;
  readonly source: Source;
  readonly reason: string | null;
  readonly idempotency_key: string | null;
  readonly created_at: Date;
}

export interface LayerRow extends RevisionRow {
  /** Of on-call layers only. */
  readonly until: Date | null;
  /** Of layer `job` only; false in all others. */
  readonly take_over: boolean;
}

const authorship = (row: RevisionRow): Authorship => ({
  author: row.author,
  source: row.source,
  reason: row.reason,
  idempotencyKey: row.idempotency_key,
  createdAt: row.created_at,
});

function overlayContent(row: LayerRow, layer: 'scaler' | 'oncall'): OverlayContent {
  if (row.content === null) return { kind: 'cleared', layer };
  const patch = row.content as SpecPatch;
  return layer === 'scaler' ? { kind: 'patch', layer, patch } : { kind: 'patch', layer, patch, until: row.until };
}

const ofContent = <C extends LayerContent>(row: LayerRow, content: C): JobRevision<C> => ({
  ...authorship(row),
  revision: revision(row.revision),
  content,
  contentHash: row.content_hash,
  ...(row.take_over && { takeOver: true }),
});

export const toJobLayer = (row: LayerRow): JobRevision<JobContent> =>
  ofContent(row, row.content === null ? { kind: 'tombstone' } : { kind: 'spec', spec: row.content as JobSpec });

export const toOverlay = (row: LayerRow, layer: 'scaler' | 'oncall'): JobRevision<OverlayContent> =>
  ofContent(row, overlayContent(row, layer));

export const toJobRevision = (row: LayerRow & { readonly layer: Layer }): JobRevision =>
  row.layer === 'job' ? toJobLayer(row) : toOverlay(row, row.layer);

/** How bulkhead.platform_revision and bulkhead.idempotency name what concerns all tenants; no tenant can be called so. */
export const ALL_TENANTS = '*';

export const scopeOf = (tenant: string | null): string => tenant ?? ALL_TENANTS;

export const toPlatformRevision = (row: RevisionRow & { readonly scope: string }): PlatformRevision => ({
  ...authorship(row),
  tenant: row.scope === ALL_TENANTS ? null : row.scope,
  revision: revision(row.revision),
  content: row.content as PlatformContent,
  contentHash: row.content_hash,
});

/**
 * Text that Postgres takes, of whatever a cluster said: NUL and halves of surrogate pairs become U+FFFD. For what was
 * observed only; what people wrote is stored as it is or refused.
 */
export const storableText = (text: string): string => text.replaceAll('\0', '\uFFFD').toWellFormed();

/** JSON of an observed value, with storable text in it. */
export const storableJson = (value: unknown): string =>
  JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'string' ? storableText(inner) : inner));
