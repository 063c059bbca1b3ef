import type { Goal } from '../job/goal.ts';
import type { StoreId } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import { isClaimed, isOthers, type ObservedStreamJob } from '../plan/stream-job.ts';
import { saysTheSame, streamJobStatus } from '../plan/stream-job-status.ts';
import { ClusterError } from '../ports/cluster.ts';
import { errorFields, type Log } from '../ports/log.ts';
import type { Fence } from '../ports/shards.ts';
import type { JobEvent } from '../ports/store.ts';
import type { StreamJobs } from '../ports/stream-jobs.ts';
import type { TakenIn } from './intake.ts';

export interface Publication {
  readonly storeId: StoreId;
  readonly jobs: StreamJobs;
  readonly goal: Goal;
  readonly status: JobStatus;
  readonly taken: TakenIn;
  /** What has come to pass since the last turn, for `kubectl get events`: transitions, not every write. */
  readonly events: readonly JobEvent[];
  readonly fence: Fence;
  /** As the fence's mark says it. */
  readonly mark: (fence: Fence) => string;
  readonly log: Log;
}

/**
 * Shows a job's status on its StreamJob, where it differs, and tells Kubernetes of what has come to pass.
 * @returns what kept it from doing so; null where nothing did, or where the object has changed meanwhile
 */
export async function publish(publication: Publication): Promise<ClusterError | null> {
  const { storeId, jobs, goal, status, taken, fence, mark } = publication;
  const object = jobs.of(goal.job);
  if (!object || !isOurs(object, storeId)) return null;
  const next = streamJobStatus({
    storeId,
    object,
    job: { goal, status },
    specRevision: taken.specRevision,
    note: taken.note,
    writtenBy: `${storeId} ${mark(fence)}`,
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

const isOurs = (object: ObservedStreamJob, storeId: StoreId): boolean =>
  isClaimed(object, storeId) && !isOthers(object, storeId) && !object.isDeleting;

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
