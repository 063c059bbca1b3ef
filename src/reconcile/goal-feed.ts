import { setTimeout as sleep } from 'node:timers/promises';
import type { Goal } from '../job/goal.ts';
import type { JobId, Revision } from '../job/ids.ts';
import type { GoalReader } from '../ports/store.ts';

/** The truth, read again this often whatever the hints said; a lost hint costs at most this (faults.md row 9: ≤ 30 s). */
export const RESYNC_EVERY_MS = 15_000;
/** Goals asked for within this time are read by one query. */
const BATCH_WINDOW_MS = 2;

/**
 * Which goals are new, and their contents. A hint only says "look at this key now"; the regular resync compares every
 * head with what was last seen, by one query whatever the number of jobs.
 */
export class GoalFeed {
  readonly #reader: GoalReader;
  readonly #onChanged: (id: JobId) => void;
  readonly #seen = new Map<JobId, Revision>();
  #batch: Map<JobId, ((goal: Goal | null) => void)[]> = new Map();
  #batchFailed: ((error: unknown) => void)[] = [];

  constructor(reader: GoalReader, onChanged: (id: JobId) => void) {
    this.#reader = reader;
    this.#onChanged = onChanged;
  }

  /** Compares all heads with what was seen and reports those that differ. @throws StoreError */
  async resync(): Promise<void> {
    const heads = await this.#reader.heads();
    const present = new Set(heads.map((head) => head.jobId));
    for (const { jobId, revision } of heads) {
      if (this.#seen.get(jobId) === revision) continue;
      this.#seen.set(jobId, revision);
      this.#onChanged(jobId);
    }
    // No command: a job that is not listed any more is only forgotten here, so that memory does not grow.
    for (const id of this.#seen.keys()) if (!present.has(id)) this.#seen.delete(id);
  }

  /** Every job that needs somebody. One query. @throws StoreError */
  async ids(): Promise<JobId[]> {
    return (await this.#reader.heads()).map((head) => head.jobId);
  }

  /** Resyncs at once and then regularly until `signal` aborts; `onError` hears of each failure. */
  async run(onResynced: () => void, onError: (error: unknown) => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.resync();
        onResynced();
      } catch (error) {
        onError(error);
      }
      await sleep(RESYNC_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Reports every job again at the next resync. */
  forget(): void {
    this.#seen.clear();
  }

  /** The newest goal; null for an id that the store never gave. Calls at about the same time share a query. @throws StoreError */
  load(id: JobId): Promise<Goal | null> {
    return new Promise((resolve, reject) => {
      if (this.#batch.size === 0) setTimeout(() => void this.#flush(), BATCH_WINDOW_MS);
      this.#batch.set(id, [...(this.#batch.get(id) ?? []), resolve]);
      this.#batchFailed.push(reject);
    });
  }

  async #flush(): Promise<void> {
    const batch = this.#batch;
    const failed = this.#batchFailed;
    this.#batch = new Map();
    this.#batchFailed = [];
    try {
      const goals = new Map((await this.#reader.goals([...batch.keys()])).map((goal) => [goal.job.id, goal]));
      for (const [id, waiters] of batch) for (const resolve of waiters) resolve(goals.get(id) ?? null);
    } catch (error) {
      for (const reject of failed) reject(error);
    }
  }
}
