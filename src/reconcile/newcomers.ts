import { checkObject } from '../job/check-object.ts';
import { type JobId, jobName, type StoreId } from '../job/ids.ts';
import { isClaimed, isOthers, type ObservedStreamJob, type StreamJobStatus, statusJob } from '../plan/stream-job.ts';
import { type Note, saysTheSame, streamJobStatus } from '../plan/stream-job-status.ts';
import type { Log } from '../ports/log.ts';
import type { Fence } from '../ports/shards.ts';
import { type GoalCatalog, type GoalWriter, StaleBaseError, StoreError } from '../ports/store.ts';
import type { StreamJobs } from '../ports/stream-jobs.ts';
import { authorOf } from './intake-words.ts';

export interface NewcomersDeps {
  readonly storeId: StoreId;
  readonly store: GoalWriter & Pick<GoalCatalog, 'find'>;
  /** As the fence's mark says it: which epoch a write is made under. */
  readonly mark: (fence: Fence) => string;
  readonly log: Log;
}

/** What became of a key that the store has no job for. */
export type Welcome =
  /** No StreamJob either. */
  | 'nobody'
  /** It waits for its author, or is another store's. */
  | 'done'
  /** This job has a goal now. */
  | { readonly job: JobId };

/**
 * StreamJobs that no goal was made of yet. A job that is made of one gets its UID as the job's id, so that the same
 * shard's owner looks after both; an object for a job that is there already is handed to that one by its status.
 */
export class Newcomers {
  readonly #deps: NewcomersDeps;
  readonly #refused = new Map<string, { readonly generation: number; readonly problems: readonly string[] }>();

  constructor(deps: NewcomersDeps) {
    this.#deps = deps;
  }

  /** @param id the UID of the object. @throws StoreError | ClusterError */
  async welcome(jobs: StreamJobs, id: JobId, fence: () => Fence | null): Promise<Welcome> {
    const object = jobs.withUid(id);
    if (!object) return 'nobody';
    if (isOthers(object, this.#deps.storeId)) return 'done';
    const owner = statusJob(object, this.#deps.storeId);
    if (owner !== null && owner !== id) return { job: owner };
    const known = await this.#deps.store.find(object.job);
    const current = fence();
    if (!current) return 'done';
    // The store is never made again from the cluster: what it has lost, a person stores again.
    const isLost = owner === id && !known && !object.isDeleting;
    if (isLost && object.status?.observedGeneration === object.generation) {
      return this.#refuse(jobs, object, [lostText(id)], current);
    }
    if (known) return this.#handOver(jobs, object, known.job.id, current);
    if (object.isDeleting) return this.#letGo(jobs, object, current);
    return this.#takeIn(jobs, object, id, fence);
  }

  /** Deleted before anything was stored of it. */
  async #letGo(jobs: StreamJobs, object: ObservedStreamJob, fence: Fence): Promise<Welcome> {
    if (isClaimed(object, this.#deps.storeId)) await jobs.execute({ do: 'release', object }, fence);
    return 'done';
  }

  async #takeIn(jobs: StreamJobs, found: ObservedStreamJob, id: JobId, fence: () => Fence | null): Promise<Welcome> {
    const known = this.#refused.get(found.uid);
    const checked = checkObject(found.job, found.spec);
    const wrong = checked.kind === 'wrong' ? checked.problems : null;
    const problems = wrong ?? (known?.generation === found.generation ? known.problems : null);
    const object = (await this.#claim(jobs, found, fence)) ?? found;
    const current = fence();
    if (!current) return 'done';
    if (problems || checked.kind === 'wrong') return this.#refuse(jobs, object, problems ?? [], current);
    try {
      const [receipt] = await this.#deps.store.write(
        [{ job: object.job, content: { kind: 'spec', spec: checked.spec }, base: 'none', id }],
        {
          author: authorOf(object, await jobs.stampsAuthors()),
          source: 'kubectl',
          reason: null,
          idempotencyKey: `kubectl/${object.uid}/${object.generation}/none`,
        },
      );
      this.#refused.delete(object.uid);
      if (!receipt?.id) return 'done';
      return receipt.id === id ? { job: id } : this.#handOver(jobs, object, receipt.id, current);
    } catch (error) {
      if (error instanceof StaleBaseError) return { job: id };
      if (!(error instanceof StoreError) || error.kind !== 'invalid') throw error;
      this.#refused.set(object.uid, { generation: object.generation, problems: [error.message] });
      return this.#refuse(jobs, object, [error.message], current);
    }
  }

  /** Our finalizer comes before the goal: what is deleted from then on is heard of. */
  async #claim(
    jobs: StreamJobs,
    object: ObservedStreamJob,
    fence: () => Fence | null,
  ): Promise<ObservedStreamJob | null> {
    const current = fence();
    if (!current || isClaimed(object, this.#deps.storeId)) return null;
    return jobs.execute({ do: 'claim', object }, current);
  }

  async #refuse(
    jobs: StreamJobs,
    object: ObservedStreamJob,
    problems: readonly string[],
    fence: Fence,
  ): Promise<Welcome> {
    await this.#say(jobs, object, this.#status(object, { kind: 'refused', problems }, fence), fence);
    return 'done';
  }

  /** The status names the job: whoever owns its shard sees that, and goes on. */
  async #handOver(jobs: StreamJobs, object: ObservedStreamJob, job: JobId, fence: Fence): Promise<Welcome> {
    const claimed = isClaimed(object, this.#deps.storeId) || object.isDeleting;
    const ours = claimed ? object : await jobs.execute({ do: 'claim', object }, fence);
    if (!ours) return 'done';
    await this.#say(jobs, ours, { ...this.#status(ours, null, fence), jobId: job }, fence);
    this.#deps.log.info({ job: jobName(object.job), jobId: job }, 'a StreamJob was taken in for a job that is there');
    return { job };
  }

  #status(object: ObservedStreamJob, note: Note | null, fence: Fence): StreamJobStatus {
    const writtenBy = `${this.#deps.storeId} ${this.#deps.mark(fence)}`;
    const { storeId } = this.#deps;
    return streamJobStatus({ storeId, object, job: null, specRevision: null, note, writtenBy, now: Date.now() });
  }

  async #say(jobs: StreamJobs, object: ObservedStreamJob, status: StreamJobStatus, fence: Fence): Promise<void> {
    if (saysTheSame(status, object.status)) return;
    await jobs.execute({ do: 'writeStatus', object, status }, fence);
    const ready = status.conditions.find(({ type }) => type === 'Ready');
    if (ready?.status !== 'False') return;
    await jobs.tell(object, { type: 'Warning', reason: ready.reason, message: ready.message });
  }
}

const lostText = (id: JobId): string =>
  `its job ${id} is not in the goal store, which may be an older copy; to store it again, edit this object, or delete it and apply it anew`;
