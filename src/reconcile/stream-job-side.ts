import type { Goal } from '../job/goal.ts';
import type { JobId, StoreId } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import { ClusterError } from '../ports/cluster.ts';
import type { Log } from '../ports/log.ts';
import type { Fence } from '../ports/shards.ts';
import type { GoalCatalog, GoalWriter, HistoryReader, JobEvent } from '../ports/store.ts';
import type { StreamJobs } from '../ports/stream-jobs.ts';
import { StreamJobIntake, type TakenIn } from './intake.ts';
import { Newcomers, type Welcome } from './newcomers.ts';
import { publish } from './publication.ts';
import type { Next } from './reconciler.ts';

/** What only a person can mend is tried again this often: a right or a policy may have come meanwhile. */
const NEEDS_A_PERSON_MS = 60_000;

export interface StreamJobSideDeps {
  readonly jobs: StreamJobs;
  readonly storeId: StoreId;
  readonly store: GoalWriter & Pick<HistoryReader, 'revisionOf'> & Pick<GoalCatalog, 'find'>;
  readonly log: Log;
}

/** What a turn has come to, to be shown on the StreamJob. */
export interface Shown {
  readonly goal: Goal;
  readonly status: JobStatus;
  readonly events: readonly JobEvent[];
}

/** One cluster's StreamJobs as a turn sees them: what they say is taken in before it, what came of it is shown after it. */
export class StreamJobSide {
  readonly #deps: StreamJobSideDeps;
  readonly #intake: StreamJobIntake;
  readonly #newcomers: Newcomers;

  constructor(deps: StreamJobSideDeps) {
    this.#deps = deps;
    this.#intake = new StreamJobIntake(deps);
    this.#newcomers = new Newcomers(deps);
  }

  /** null while StreamJobs are not there to be seen. @throws StoreError */
  async takeIn(goal: Goal, fence: () => Fence | null, reload: () => Promise<Goal | null>): Promise<TakenIn | null> {
    const { jobs } = this.#deps;
    return jobs.sees(goal.job.tenant) ? this.#intake.takeIn({ jobs, goal, fence, reload }) : null;
  }

  /** A key without a goal may be a StreamJob that is new. @throws StoreError | ClusterError */
  async welcome(id: JobId, fence: () => Fence | null): Promise<Welcome> {
    const { jobs } = this.#deps;
    try {
      return await this.#newcomers.welcome(jobs, id, fence);
    } catch (error) {
      // It has changed, or is gone, and was read anew: the change wakes its key.
      if (error instanceof ClusterError && (error.kind === 'conflict' || error.kind === 'gone')) return 'done';
      throw error;
    }
  }

  /** @returns what kept it from being shown; null when nothing did */
  async show({ goal, status, events }: Shown, taken: TakenIn, fence: Fence): Promise<ClusterError | null> {
    const { jobs, storeId, log } = this.#deps;
    if (!jobs.sees(goal.job.tenant)) return null;
    return publish({ storeId, jobs, goal, status, taken, events, fence, log });
  }
}

/** When a turn comes again, as its cell and its StreamJob together have it. */
export function nextOf(cell: Next, taken: TakenIn | null, unshown: ClusterError | null, now: number): Next {
  const failure = taken?.failure ?? unshown;
  if (cell.kind === 'retry' || !taken) return cell;
  if (failure?.kind === 'forbidden' || failure?.kind === 'invalid') return earlier(cell, now + NEEDS_A_PERSON_MS);
  if (failure) return { kind: 'retry', afterMs: failure.retryAfterMs };
  return taken.againAfterMs === null ? cell : earlier(cell, now + taken.againAfterMs);
}

const earlier = (cell: Exclude<Next, { kind: 'retry' }>, time: number): Next =>
  cell.kind === 'at' && cell.time < time ? cell : { kind: 'at', time };
