import type { Goal } from '../job/goal.ts';
import type { StoreId } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import { isRefused } from '../plan/intake.ts';
import { isClaimed, type ObservedStreamJob, statusJob } from '../plan/stream-job.ts';
import { type Basis, saysTheSame, streamJobStatus } from '../plan/stream-job-status.ts';
import { ClusterError } from '../ports/cluster.ts';
import { errorFields, type Log } from '../ports/log.ts';
import { type Fence, writtenBy } from '../ports/shards.ts';
import type { JobEvent } from '../ports/store.ts';
import type { StreamJobs } from '../ports/stream-jobs.ts';
import type { TakenIn } from './intake.ts';
import { holdsBefore, isOf } from './seen.ts';

export interface Publication {
  readonly storeId: StoreId;
  readonly jobs: StreamJobs;
  readonly goal: Goal;
  readonly status: JobStatus;
  readonly taken: TakenIn;
  /** What has come to pass since the last turn, for `kubectl get events`: transitions, not every write. */
  readonly events: readonly JobEvent[];
  readonly fence: Fence;
  readonly log: Log;
}

/**
 * Shows a job's status on its StreamJob, where it differs, and tells Kubernetes of what has come to pass.
 * @returns what kept it from doing so; null where nothing did, or where the object has changed meanwhile
 */
export async function publish(publication: Publication): Promise<ClusterError | null> {
  const { storeId, jobs, goal, status, taken, fence } = publication;
  const object = jobs.of(goal.job);
  const basis = object && isOurs(object, goal, storeId) ? basisOf(object, taken) : null;
  if (!object || !basis) return null;
  const next = streamJobStatus({
    storeId,
    object,
    job: { goal, status },
    basis,
    note: taken.note,
    writtenBy: writtenBy(storeId, fence),
    now: Date.now(),
  });
  try {
    if (!saysTheSame(next, object.status)) await jobs.execute({ do: 'writeStatus', object, status: next }, fence);
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    return error.kind === 'conflict' || error.kind === 'gone' ? null : error;
  }
  await tellAll(publication, object);
  return null;
}

/** The object of another job, or of none any more, is that one's to speak of. */
function isOurs(object: ObservedStreamJob, { job, layers }: Goal, storeId: StoreId): boolean {
  const owner = statusJob(object, storeId);
  const isOfJob = owner === job.id || (owner === null && layers.job.content.kind === 'spec');
  return isClaimed(object, storeId) && !object.isDeleting && isOfJob;
}

/**
 * What the status may say of the object: it speaks of what was looked at, not of what came since, which has woken the key.
 * Where the look itself failed, what was said of the spec before still stands, and only the job's state is new.
 */
function basisOf(object: ObservedStreamJob, { seen, failure }: TakenIn): Basis | null {
  if (seen) return isOf(seen, object) ? seen : null;
  if (!failure || !object.status || isRefused(object)) return null;
  return { ...holdsBefore(object), generation: object.status.observedGeneration };
}

/** Best effort: the audit trail is in the store, so that an event that gets lost here is no loss. */
async function tellAll({ jobs, events, log }: Publication, object: ObservedStreamJob): Promise<void> {
  for (const { type, reason, message } of events) {
    try {
      await jobs.tell(object, { type, reason, message });
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      log.warn({ ...errorFields(error), job: object.job }, 'Kubernetes could not be told of an event');
      return;
    }
  }
}
