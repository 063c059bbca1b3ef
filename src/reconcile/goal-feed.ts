import { setTimeout as sleep } from 'node:timers/promises';
import type { Goal } from '../job/goal.ts';
import type { JobId, Revision } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import type { ChangeReader, Cursor, GoalReader, StatusStore } from '../ports/store.ts';

/** Changes are read this often whatever the hints said; a lost hint costs at most this (faults.md row 9: ≤ 30 s). */
export const POLL_EVERY_MS = 5_000;
/** While goals are being read, those asked for within this time are read by one query; otherwise nobody waits. */
const BATCH_WINDOW_MS = 2;

/** A job's goal, and what was last stored of it. */
export interface LoadedJob {
  readonly goal: Goal;
  readonly previous: JobStatus | null;
}

export interface FeedHandlers {
  readonly onChanged: (id: JobId) => void;
  /** What the platform says has changed, for a tenant or (null) for all. */
  readonly onPlatform: (tenant: string | null) => Promise<void>;
  /** Nothing is known of what was missed: everything has to be read. */
  readonly onEverything: () => Promise<void>;
}

interface Waiter {
  readonly resolve: (job: LoadedJob | null) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Which goals are new, and their contents. A hint only says "look at this key now"; the cursor over commits finds
 * whatever the hints missed. Neither its memory nor its queries grow with the number of jobs.
 */
export class GoalFeed {
  readonly #reader: GoalReader & ChangeReader & StatusStore;
  readonly #handlers: FeedHandlers;
  #cursor: Cursor | null = null;
  /** What the last poll reported: seen again while an open transaction holds the horizon back. */
  #reported: { readonly jobs: ReadonlyMap<JobId, Revision>; readonly platforms: ReadonlyMap<string, Revision> };
  #polling: Promise<void> | null = null;
  #again = false;
  #lagMs = 0;
  #batch = new Map<JobId, Waiter[]>();
  #reading = 0;
  /** What was read since the last poll: a change that a hint told of is no news when the poll finds it. */
  #loaded = new Map<JobId, Revision>();

  constructor(reader: GoalReader & ChangeReader & StatusStore, handlers: FeedHandlers) {
    this.#reader = reader;
    this.#handlers = handlers;
    this.#reported = { jobs: new Map(), platforms: new Map() };
  }

  /** How far open transactions hold the cursor back, in milliseconds. */
  get lagMs(): number {
    return this.#lagMs;
  }

  /** Reads on from the cursor; calls at the same time share one read that begins after the last of them. @throws StoreError */
  async poll(): Promise<void> {
    if (this.#polling !== null) {
      this.#again = true;
      return this.#polling;
    }
    this.#polling = this.#pollAll().finally(() => {
      this.#polling = null;
    });
    return this.#polling;
  }

  /** Polls at once and then regularly until `signal` aborts. @param each runs after every poll */
  async run(
    handlers: { readonly each: () => Promise<void>; readonly onError: (error: unknown) => void },
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.poll();
        await handlers.each();
      } catch (error) {
        handlers.onError(error);
      }
      await sleep(POLL_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** null for an id that the store never gave. Calls at about the same time share their queries. @throws StoreError */
  load(id: JobId): Promise<LoadedJob | null> {
    return new Promise((resolve, reject) => {
      if (this.#batch.size === 0) this.#flushSoon();
      this.#batch.set(id, [...(this.#batch.get(id) ?? []), { resolve, reject }]);
    });
  }

  async #pollAll(): Promise<void> {
    do {
      this.#again = false;
      await this.#pollOnce();
    } while (this.#again);
  }

  async #pollOnce(): Promise<void> {
    const loaded = this.#loaded;
    this.#loaded = new Map();
    const changes = this.#cursor && (await this.#reader.changesSince(this.#cursor));
    if (!changes) {
      // First the place to go on from, then everything: what is committed in between is met twice and never missed.
      const cursor = await this.#reader.cursor();
      await this.#handlers.onEverything();
      this.#cursor = cursor;
      this.#reported = { jobs: new Map(), platforms: new Map() };
      return;
    }
    const before = this.#reported;
    for (const { jobId, revision } of changes.jobs) {
      const isKnown = before.jobs.get(jobId) === revision || (loaded.get(jobId) ?? 0) >= revision;
      if (!isKnown) this.#handlers.onChanged(jobId);
    }
    for (const { tenant, revision } of changes.platforms) {
      if (before.platforms.get(tenant ?? '') !== revision) await this.#handlers.onPlatform(tenant);
    }
    // Only after the handlers: what they could not do is reported again by the next poll.
    this.#reported = {
      jobs: new Map(changes.jobs.map((head) => [head.jobId, head.revision])),
      platforms: new Map(changes.platforms.map(({ tenant, revision }) => [tenant ?? '', revision])),
    };
    this.#cursor = changes.cursor;
    this.#lagMs = changes.lagMs;
  }

  #flushSoon(): void {
    const flush = () => void this.#flush();
    if (this.#reading === 0) setImmediate(flush);
    else setTimeout(flush, BATCH_WINDOW_MS);
  }

  async #flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = new Map();
    this.#reading += 1;
    try {
      const ids = [...batch.keys()];
      const [goals, stored] = await Promise.all([this.#reader.goals(ids), this.#reader.statuses(ids)]);
      const statuses = new Map(stored.map(({ status }) => [status.jobId, status]));
      const jobs = new Map(goals.map((goal) => [goal.job.id, { goal, previous: statuses.get(goal.job.id) ?? null }]));
      for (const { job, revision } of goals) this.#loaded.set(job.id, revision);
      for (const [id, waiters] of batch) for (const { resolve } of waiters) resolve(jobs.get(id) ?? null);
    } catch (error) {
      for (const waiters of batch.values()) for (const { reject } of waiters) reject(error);
    } finally {
      this.#reading -= 1;
    }
  }
}
