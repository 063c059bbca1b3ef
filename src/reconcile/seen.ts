import type { Goal } from '../job/goal.ts';
import { type ObservedStreamJob, specRevisionOf } from '../plan/stream-job.ts';
import type { Basis } from '../plan/stream-job-status.ts';

/** A state of a StreamJob that was looked at, or written, and what it holds. */
export interface Seen extends Basis {
  readonly uid: string;
}

/** Whether it is this very state of the object. */
export const isOf = (seen: Seen | null, { uid, generation }: ObservedStreamJob): boolean =>
  seen?.uid === uid && seen.generation === generation;

/** It says what the goal's layer `job` says. */
export const holdsGoal = (object: ObservedStreamJob, { layers: { job } }: Goal): Seen => ({
  uid: object.uid,
  generation: object.generation,
  specRevision: job.revision,
  specHash: job.contentHash,
});

/** What it held when it was taken in last: nothing of it is taken in now. */
export const holdsBefore = (object: ObservedStreamJob): Seen => ({
  uid: object.uid,
  generation: object.generation,
  specRevision: specRevisionOf(object),
  specHash: object.status?.specHash ?? null,
});
