import type {
  ArchivedContent,
  ArchivedJob,
  ArchivedKey,
  ArchivedPlatformRevision,
  ArchivedRevision,
} from './archive.ts';
import type { ArchiveDocument, WrittenKey, WrittenPlatformRevision, WrittenRevision } from './archive-schema.ts';
import { jobId, revision } from './ids.ts';
import type { SpecPatch } from './patch.ts';
import { API_VERSION, type JobSpec } from './spec.ts';

/** What an archive holds as the documents that it is written in, and back. What is null is left out. */

/** A document is ended after about so many letters, and the history goes on in the next: one at a time is in memory. */
const MAX_PART_LETTERS = 256 * 1024;

type JobHistory = Extract<ArchiveDocument, { kind: 'JobHistory' }>;
type IdempotencyKeys = Extract<ArchiveDocument, { kind: 'IdempotencyKeys' }>;
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

/** Collects entries until one document should not have many more letters. */
class Part<T> {
  #entries: T[] = [];
  #letters = 0;

  /** @returns the entries of the document that ends before this one; null while it goes on */
  add(entry: T): T[] | null {
    const length = JSON.stringify(entry).length;
    const ended = this.#letters + length > MAX_PART_LETTERS ? this.end() : null;
    this.#entries.push(entry);
    this.#letters += length;
    return ended;
  }

  /** @returns what is left; null where there is nothing */
  end(): T[] | null {
    const ended = this.#entries.length > 0 ? this.#entries : null;
    [this.#entries, this.#letters] = [[], 0];
    return ended;
  }
}

function* parts<T>(entries: readonly T[]): Generator<T[], void> {
  const part = new Part<T>();
  for (const entry of entries) {
    const ended = part.add(entry);
    if (ended) yield ended;
  }
  const last = part.end();
  if (last) yield last;
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
    (entry): WrittenRevision => ({
      ...authorship(entry),
      ...writtenContent(entry.content),
      takeOver: entry.takeOver,
    }),
  );
  for (const part of parts(written)) {
    const times = { createdAt, removedAt: removedAt ?? undefined };
    yield { apiVersion: API_VERSION, kind: 'JobHistory', metadata, ...times, revisions: part };
  }
}

const keysDocument = (keys: WrittenKey[]): IdempotencyKeys => ({
  apiVersion: API_VERSION,
  kind: 'IdempotencyKeys',
  keys,
});

/** All keys: as many as there were writes, so they are never in memory together. */
export async function* keyDocuments(keys: AsyncIterable<ArchivedKey>): AsyncGenerator<IdempotencyKeys, void> {
  const part = new Part<WrittenKey>();
  for await (const { tenant, ...entry } of keys) {
    const ended = part.add({ namespace: tenant ?? undefined, ...entry });
    if (ended) yield keysDocument(ended);
  }
  const last = part.end();
  if (last) yield keysDocument(last);
}

/** What one document says of the keys. */
export const archivedKeys = ({ keys }: IdempotencyKeys): ArchivedKey[] =>
  keys.map(({ namespace, ...entry }) => ({ tenant: namespace ?? null, ...entry }));

/** What one document says of the platform. */
export const platformRevisions = ({ metadata, revisions }: PlatformHistory): ArchivedPlatformRevision[] =>
  revisions.map((entry) => ({ tenant: metadata?.namespace ?? null, ...readAuthorship(entry), content: entry.content }));

/** What one document says of a job: all of it, or a part of its history. */
export const archivedJob = ({ metadata, createdAt, removedAt, revisions }: JobHistory): ArchivedJob => ({
  job: { tenant: metadata.namespace, name: metadata.name, id: jobId(metadata.uid) },
  createdAt,
  removedAt: removedAt ?? null,
  revisions: revisions.map((entry) => ({
    ...readAuthorship(entry),
    content: readContent(entry),
    ...(entry.takeOver && { takeOver: entry.takeOver }),
  })),
});
