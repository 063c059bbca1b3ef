import { checkObject } from '../job/check-object.ts';
import { type JobId, jobName, parseJobId, type StoreId } from '../job/ids.ts';
import { isClaimed, isOthers, type ObservedStreamJob, type StreamJobStatus, statusJob } from '../plan/stream-job.ts';
import { type Note, saysTheSame, streamJobStatus } from '../plan/stream-job-status.ts';
import type { Log } from '../ports/log.ts';
import { type Fence, writtenBy } from '../ports/shards.ts';
import { type GoalCatalog, type GoalWriter, StaleBaseError, StoreError } from '../ports/store.ts';
import type { StreamJobs } from '../ports/stream-jobs.ts';
import { authorOf, editKey } from './intake-words.ts';

export interface NewcomersDeps {
  readonly storeId: StoreId;
  readonly store: GoalWriter & Pick<GoalCatalog, 'find'>;
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

  constructor(deps: NewcomersDeps) {
    this.#deps = deps;
  }

  /**
   * @param id the UID of the object, or the job that its status names and the store does not have
   * @throws StoreError | ClusterError
   */
  async welcome(jobs: StreamJobs, id: JobId, fence: () => Fence | null): Promise<Welcome> {
    const object = jobs.withUid(id) ?? jobs.ofStatus(id);
    if (!object) return 'nobody';
    if (isOthers(object, this.#deps.storeId)) return 'done';
    const owner = statusJob(object, this.#deps.storeId);
    if (owner !== null && owner !== id) return { job: owner };
    const known = await this.#deps.store.find(object.job);
    const current = fence();
    if (!current) return 'done';
    if (owner === id) return this.#lost(jobs, object, known !== null, fence, current);
    if (known) return this.#handOver(jobs, object, known.job.id, current);
    if (object.isDeleting) return this.#letGo(jobs, object, current);
    if (this.#isOurOwn(object)) {
      await jobs.execute({ do: 'discard', object }, current);
      return 'done';
    }
    return this.#takeIn(jobs, object, fence);
  }

  /** Bulkhead put it there, its job was removed before its status named that, and nobody else had a part in it. */
  #isOurOwn(object: ObservedStreamJob): boolean {
    return isClaimed(object, this.#deps.storeId) && object.status === null && object.keepers.length === 0;
  }

  /**
   * The store does not have the job that the status names: it is an older copy. It is never made again from the cluster;
   * what somebody has edited since is a new job, unless another has the name by now.
   */
  async #lost(
    jobs: StreamJobs,
    object: ObservedStreamJob,
    isTaken: boolean,
    fence: () => Fence | null,
    current: Fence,
  ): Promise<Welcome> {
    if (object.isDeleting) return this.#letGo(jobs, object, current);
    const isEdited = object.status?.observedGeneration !== object.generation;
    if (isEdited && !isTaken) return this.#takeIn(jobs, object, fence);
    return this.#refuse(jobs, object, [lostText(isTaken)], current);
  }

  /** Deleted before anything was stored of it. */
  async #letGo(jobs: StreamJobs, object: ObservedStreamJob, fence: Fence): Promise<Welcome> {
    if (isClaimed(object, this.#deps.storeId)) await jobs.execute({ do: 'release', object }, fence);
    return 'done';
  }

  async #takeIn(jobs: StreamJobs, found: ObservedStreamJob, fence: () => Fence | null): Promise<Welcome> {
    const checked = checkObject(found.job, found.spec);
    const object = (await this.#claim(jobs, found, fence)) ?? found;
    const current = fence();
    if (!current) return 'done';
    if (checked.kind === 'wrong') return this.#refuse(jobs, object, checked.problems, current);
    const isStamped = await jobs.stampsAuthors();
    const id = parseJobId(object.uid);
    try {
      const content = { kind: 'spec', spec: checked.spec } as const;
      const origin = {
        author: authorOf(object, isStamped),
        source: 'kubectl',
        reason: null,
        idempotencyKey: editKey(object, null, content),
      } as const;
      const change = { job: object.job, content, base: 'none', ...(id && { id }) } as const;
      const [receipt] = await this.#deps.store.write([change], origin, { fence: current });
      if (!receipt?.id) return 'done';
      return receipt.id === id ? { job: id } : this.#handOver(jobs, object, receipt.id, current);
    } catch (error) {
      // There is a job of that name now: the next turn hands over.
      if (error instanceof StaleBaseError && id) return { job: id };
      if (!(error instanceof StoreError) || (error.kind !== 'invalid' && error.kind !== 'conflict')) throw error;
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
    const { storeId } = this.#deps;
    const basis = { generation: object.generation, specRevision: null, specHash: null };
    return streamJobStatus({
      storeId,
      object,
      job: null,
      basis,
      note,
      writtenBy: writtenBy(storeId, fence),
      now: Date.now(),
    });
  }

  async #say(jobs: StreamJobs, object: ObservedStreamJob, status: StreamJobStatus, fence: Fence): Promise<void> {
    if (saysTheSame(status, object.status)) return;
    await jobs.execute({ do: 'writeStatus', object, status }, fence);
    const ready = status.conditions.find(({ type }) => type === 'Ready');
    if (ready?.status !== 'False') return;
    await jobs.tell(object, { type: 'Warning', reason: ready.reason, message: ready.message });
  }
}

const lostText = (isTaken: boolean): string =>
  `its job is not in the goal store, which may be an older copy; ${
    isTaken
      ? 'another job has the name: delete this object, and that one is shown here'
      : 'to store it again, edit this object, or delete it and apply it anew'
  }`;
