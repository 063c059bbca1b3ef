import type { ArchivedContent, ArchivedJob, ArchivedPlatformRevision, ArchivedRevision } from './archive.ts';
import type { ArchiveDocument, WrittenPlatformRevision, WrittenRevision } from './archive-schema.ts';
import { jobId, revision } from './ids.ts';
import type { SpecPatch } from './patch.ts';
import { API_VERSION, type JobSpec } from './spec.ts';

/** What an archive holds as the documents that it is written in, and back. What is null is left out. */

/** A document is ended after about so many letters, and the history goes on in the next: one at a time is in memory. */
const MAX_PART_LETTERS = 256 * 1024;

type JobHistory = Extract<ArchiveDocument, { kind: 'JobHistory' }>;
type PlatformHistory = Extract<ArchiveDocument, { kind: 'PlatformHistory' }>;

const authorship = (from: ArchivedRevision | ArchivedPlatformRevision) => ({
  revision: from.revision,
  createdAt: from.createdAt,
  author: from.author,
  source: from.source,
  reason: from.reason ?? undefined,
  idempotencyKey: from.idempotencyKey ?? undefined,
  contentHash: from.contentHash,
});

const readAuthorship = (from: WrittenRevision | WrittenPlatformRevision) => ({
  revision: revision(from.revision),
  createdAt: from.createdAt,
  author: from.author,
  source: from.source,
  reason: from.reason ?? null,
  idempotencyKey: from.idempotencyKey ?? null,
  contentHash: from.contentHash,
});

function writtenContent(
  content: ArchivedContent,
): Pick<WrittenRevision, 'layer' | 'spec' | 'removed' | 'patch' | 'until' | 'cleared'> {
  if (content.kind === 'spec') return { layer: 'job', spec: content.spec as unknown as SpecPatch };
  if (content.kind === 'tombstone') return { layer: 'job', removed: true };
  if (content.kind === 'cleared') return { layer: content.layer, cleared: true };
  const until = content.layer === 'oncall' ? (content.until ?? undefined) : undefined;
  return { layer: content.layer, patch: content.patch, until };
}

function readContent({ layer, spec, patch, until }: WrittenRevision): ArchivedContent {
  // What was said then is kept, whatever the definition says now.
  if (layer === 'job') return spec ? { kind: 'spec', spec: spec as unknown as JobSpec } : { kind: 'tombstone' };
  if (patch === undefined) return { kind: 'cleared', layer };
  return layer === 'oncall' ? { kind: 'patch', layer, patch, until: until ?? null } : { kind: 'patch', layer, patch };
}

/** Cuts a list so that no part has many more letters than one document should have. */
function* parts<T>(entries: readonly T[]): Generator<T[], void> {
  let part: T[] = [];
  let letters = 0;
  for (const entry of entries) {
    const length = JSON.stringify(entry).length;
    if (part.length > 0 && letters + length > MAX_PART_LETTERS) {
      yield part;
      [part, letters] = [[], 0];
    }
    part.push(entry);
    letters += length;
  }
  if (part.length > 0) yield part;
}

/** All revisions of all scopes: those of one scope together. */
export function* platformDocuments(revisions: readonly ArchivedPlatformRevision[]): Generator<PlatformHistory, void> {
  const scopes = Map.groupBy(revisions, ({ tenant }) => tenant);
  for (const [tenant, history] of scopes) {
    const written = history.map((entry): WrittenPlatformRevision => ({ ...authorship(entry), content: entry.content }));
    for (const part of parts(written)) {
      const metadata = tenant === null ? undefined : { namespace: tenant };
      yield { apiVersion: API_VERSION, kind: 'PlatformHistory', metadata, revisions: part };
    }
  }
}

/** One job: several documents where its history is long. */
export function* jobDocuments({ job, createdAt, removedAt, revisions }: ArchivedJob): Generator<JobHistory, void> {
  const metadata = { name: job.name, namespace: job.tenant, uid: job.id };
  const written = revisions.map(
    (entry): WrittenRevision => ({ ...authorship(entry), ...writtenContent(entry.content) }),
  );
  for (const part of parts(written)) {
    const times = { createdAt, removedAt: removedAt ?? undefined };
    yield { apiVersion: API_VERSION, kind: 'JobHistory', metadata, ...times, revisions: part };
  }
}

/** What one document says of the platform. */
export const platformRevisions = ({ metadata, revisions }: PlatformHistory): ArchivedPlatformRevision[] =>
  revisions.map((entry) => ({ tenant: metadata?.namespace ?? null, ...readAuthorship(entry), content: entry.content }));

/** What one document says of a job: all of it, or a part of its history. */
export const archivedJob = ({ metadata, createdAt, removedAt, revisions }: JobHistory): ArchivedJob => ({
  job: { tenant: metadata.namespace, name: metadata.name, id: jobId(metadata.uid) },
  createdAt,
  removedAt: removedAt ?? null,
  revisions: revisions.map((entry) => ({ ...readAuthorship(entry), content: readContent(entry) })),
});
