import { contentHash } from '../job/canonical.ts';
import type { Goal, JobContent } from '../job/goal.ts';
import type { Revision } from '../job/ids.ts';
import { type ObservedStreamJob, STREAM_JOB_ANNOTATIONS, specRevisionOf } from '../plan/stream-job.ts';
import type { JobEvent } from '../ports/store.ts';

/**
 * Who made the edit that led to the object as it is. Only a stamp of this very generation, in a cluster that is proved
 * to stamp, names a user: anybody could have written the annotation else, and `kubectl scale` leaves an older one.
 */
export function authorOf(object: ObservedStreamJob, isStamped: boolean): string {
  const { annotations, generation, lastManager, scaleManager } = object;
  const [, stamped, user] = /^(\d+) (.+)$/s.exec(annotations[STREAM_JOB_ANNOTATIONS.author] ?? '') ?? [];
  if (isStamped && user !== undefined && Number(stamped) === generation) return user;
  // Where edits are stamped, one without a stamp came by the scale subresource.
  const isScale = isStamped && user !== undefined && scaleManager !== null;
  return isScale ? `unverified (manager ${scaleManager}, by scale)` : `unverified (manager ${lastManager})`;
}

/**
 * The same for the same edit, whoever takes it in and after whatever failure, so that it is stored once. The content is
 * part of it: a restored etcd gives a generation out again.
 * @param base null for an edit on the head, whether there is a job yet or not
 */
export const editKey = ({ uid, generation }: ObservedStreamJob, base: Revision | null, content: JobContent): string =>
  `kubectl/${uid}/${generation}/${base ?? 'head'}/${contentHash(content).slice(0, 16)}`;

/** Both sides were changed and the store won: what was lost, and how to get it back. */
export function overruledEvent(goal: Goal, object: ObservedStreamJob, fields: readonly string[]): JobEvent {
  const { revision, author, source } = goal.layers.job;
  const from = specRevisionOf(object);
  const what = fields.map((field) => `spec.${field}`).join(', ');
  return {
    jobId: goal.job.id,
    revision: goal.revision,
    type: 'Warning',
    reason: 'Overruled',
    message: `${what} was edited here from revision ${from}, but revision ${revision} (${author}, by ${source}) came first and stands; to have the edit after all, make it again: it then counts as made from revision ${revision} (compare: bulkhead diff ${goal.job.tenant}/${goal.job.name}@${from} ${goal.job.tenant}/${goal.job.name}@${revision})`,
  };
}
