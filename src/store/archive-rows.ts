import type {
  ArchivedContent,
  ArchivedJob,
  ArchivedPlatformRevision,
  ArchivedRevision,
  TimeText,
} from '../job/archive.ts';
import type { Layer, Source } from '../job/goal.ts';
import { type JobId, jobId, revision } from '../job/ids.ts';
import type { SpecPatch } from '../job/patch.ts';
import type { PlatformContent } from '../job/platform.ts';
import type { JobSpec } from '../job/spec.ts';
import { ALL_TENANTS } from './rows.ts';

/** How the rows of a store become an archive's, with their times to the microsecond. */

/** A column of time as {@link TimeText}. */
export const timeText = (column: string): string =>
  `to_char(${column} at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** A revision as JSON, times as text. */
export interface ArchiveRow {
  readonly layer: Layer;
  readonly revision: number;
  readonly content: unknown;
  readonly until: TimeText | null;
  readonly takeOver: boolean;
  readonly hash: string;
  readonly author: string;
  readonly source: Source;
  readonly reason: string | null;
  readonly key: string | null;
  readonly at: TimeText;
}

function contentOf({ layer, content, until }: ArchiveRow): ArchivedContent {
  if (layer === 'job') return content === null ? { kind: 'tombstone' } : { kind: 'spec', spec: content as JobSpec };
  if (content === null) return { kind: 'cleared', layer };
  const patch = content as SpecPatch;
  return layer === 'scaler' ? { kind: 'patch', layer, patch } : { kind: 'patch', layer, patch, until };
}

const authorship = (row: ArchiveRow) => ({
  author: row.author,
  source: row.source,
  reason: row.reason,
  idempotencyKey: row.key,
  createdAt: row.at,
});

const toArchivedRevision = (row: ArchiveRow): ArchivedRevision => ({
  ...authorship(row),
  revision: revision(row.revision),
  content: contentOf(row),
  contentHash: row.hash,
  ...(row.takeOver && { takeOver: true }),
});

export interface ArchiveJobRow {
  readonly id: string;
  readonly tenant: string;
  readonly name: string;
  readonly created_at: TimeText;
  readonly removed_at: TimeText | null;
  readonly revisions: readonly ArchiveRow[];
}

export const toArchivedJob = (row: ArchiveJobRow): ArchivedJob => ({
  job: { id: jobId(row.id), tenant: row.tenant, name: row.name },
  createdAt: row.created_at,
  removedAt: row.removed_at,
  revisions: row.revisions.map(toArchivedRevision),
});

export const toArchivedPlatform = (row: ArchiveRow & { readonly scope: string }): ArchivedPlatformRevision => ({
  ...authorship(row),
  tenant: row.scope === ALL_TENANTS ? null : row.scope,
  revision: revision(row.revision),
  content: row.content as PlatformContent,
  contentHash: row.hash,
});

/** A row to be restored: of goal_revision, or of scaler_revision. */
export interface RestoredRevision {
  readonly jobId: JobId;
  readonly layer: Layer;
  readonly content: unknown;
  readonly until: TimeText | null;
  readonly archived: ArchivedRevision;
}

export function toRestored(id: JobId, archived: ArchivedRevision): RestoredRevision {
  const { content } = archived;
  if (content.kind === 'spec') return { jobId: id, layer: 'job', content: content.spec, until: null, archived };
  if (content.kind === 'tombstone') return { jobId: id, layer: 'job', content: null, until: null, archived };
  const patch = content.kind === 'patch' ? content.patch : null;
  const until = content.kind === 'patch' && content.layer === 'oncall' ? content.until : null;
  return { jobId: id, layer: content.layer, content: patch, until, archived };
}
