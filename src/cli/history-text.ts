import { type JobRevision, layerOf } from '../job/goal.ts';
import type { JobRef } from '../job/ids.ts';
import { changeOf } from './layer-words.ts';
import { ageOf, table } from './output.ts';

/** All that was ever said about a job, for people and for programs. Pure. */

/** Each revision with the one of the same layer before it. @param revisions oldest first */
function withBefore(revisions: readonly JobRevision[]): { revision: JobRevision; before: JobRevision | null }[] {
  const last = new Map<string, JobRevision>();
  return revisions.map((revision) => {
    const layer = layerOf(revision.content);
    const before = last.get(layer) ?? null;
    last.set(layer, revision);
    return { revision, before };
  });
}

/** The table of `history`, oldest first. @param now milliseconds since 1970 */
export function historyTable(revisions: readonly JobRevision[], now: number): string {
  return table(
    ['REVISION', 'LAYER', 'AUTHOR', 'SOURCE', 'AGE', 'REASON', 'CHANGE'],
    withBefore(revisions).map(({ revision: it, before }) => [
      String(it.revision),
      layerOf(it.content),
      it.author,
      it.takeOver ? `${it.source}, take-over` : it.source,
      ageOf(it.createdAt, now),
      it.reason ?? '',
      changeOf(it, before),
    ]),
  );
}

/** What one revision says, as data: the spec, the patch, or null where it removes or clears. */
function contentObject({ content }: JobRevision): Record<string, unknown> {
  switch (content.kind) {
    case 'spec':
      return { spec: content.spec };
    case 'tombstone':
      return { removed: true };
    case 'cleared':
      return { cleared: true };
    case 'patch':
      return content.layer === 'oncall'
        ? { patch: content.patch, until: content.until?.toISOString() ?? null }
        : { patch: content.patch };
  }
}

/** Full contents, for -o json and yaml. */
export const historyObject = (job: JobRef, revisions: readonly JobRevision[]): unknown => ({
  tenant: job.tenant,
  name: job.name,
  id: job.id,
  revisions: revisions.map((it) => ({
    revision: it.revision,
    layer: layerOf(it.content),
    author: it.author,
    source: it.source,
    createdAt: it.createdAt.toISOString(),
    reason: it.reason,
    idempotencyKey: it.idempotencyKey,
    contentHash: it.contentHash,
    ...(it.takeOver && { takeOver: true }),
    ...contentObject(it),
  })),
});
