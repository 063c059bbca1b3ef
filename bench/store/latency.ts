import { type JobId, type Revision, revision } from '../../src/job/ids.ts';
import { GoalFeed } from '../../src/reconcile/goal-feed.ts';
import { openStore, type Store } from '../../src/store/open.ts';
import { until } from '../../test/support/until.ts';
import { jobChange, newJobs, writeJobs } from './jobs.ts';

/** A store with idle jobs, and somebody who listens as an operator does: hints, the cursor, the goal. */
export class Watched {
  readonly store: Store;
  readonly #reader: Store;
  readonly #feed: GoalFeed;
  readonly #abort = new AbortController();
  #listening: Promise<void> = Promise.resolve();
  #waiting: { readonly id: JobId; readonly revision: Revision; readonly seen: () => void } | null = null;
  #image = 1;

  private constructor(store: Store, reader: Store) {
    this.store = store;
    this.#reader = reader;
    this.#feed = new GoalFeed(reader, {
      onChanged: (id) => void this.#look(id),
      onPlatform: async () => undefined,
      onEverything: async () => undefined,
    });
  }

  /** @param jobs how many idle ones, of which one is changed for each sample */
  static async open(url: string, jobs: number): Promise<Watched> {
    const store = await openStore({ url, applicationName: 'bench writer', maxConnections: 2 });
    const reader = await openStore({ url, applicationName: 'bench listener', maxConnections: 4 });
    const watched = new Watched(store, reader);
    for (let left = jobs; left > 0; left -= 1_000) await writeJobs(store, newJobs(Math.min(left, 1_000)));
    await watched.#listen();
    return watched;
  }

  async #listen(): Promise<void> {
    let ready = false;
    const poll = (): void => {
      this.#feed.poll().then(
        () => {
          ready = true;
        },
        () => undefined,
      );
    };
    this.#listening = this.#reader.listen(
      { onJob: (id) => void this.#look(id), onOther: () => undefined, onReady: poll, onLost: () => undefined },
      this.#abort.signal,
    );
    await until('it listens', 30_000, () => ready);
  }

  async #look(id: JobId): Promise<void> {
    const loaded = await this.#feed.load(id);
    const waiting = this.#waiting;
    if (waiting && loaded && waiting.id === id && loaded.goal.revision >= waiting.revision) waiting.seen();
  }

  /** Changes a job. @returns from the call to the moment the listener has the new goal, and to the answer; milliseconds */
  async sample(): Promise<{ readonly seenMs: number; readonly answeredMs: number }> {
    this.#image += 1;
    const found = await this.#changing();
    const startedAt = performance.now();
    let seenMs = Number.NaN;
    const seen = new Promise<void>((resolve) => {
      this.#waiting = {
        ...found,
        seen: () => {
          seenMs = performance.now() - startedAt;
          this.#waiting = null;
          resolve();
        },
      };
    });
    await writeJobs(this.store, [jobChange('changing', `registry.example/app:${this.#image}`)]);
    const answeredMs = performance.now() - startedAt;
    await seen;
    return { seenMs, answeredMs };
  }

  /** The job that changes, and the revision that comes next. */
  async #changing(): Promise<{ readonly id: JobId; readonly revision: Revision }> {
    const goal = await this.store.find({ tenant: 'bench', name: 'changing' });
    if (goal) return { id: goal.job.id, revision: revision(goal.revision + 1) };
    await writeJobs(this.store, [jobChange('changing', 'registry.example/app:0')]);
    return this.#changing();
  }

  /** How long reading on from the cursor takes, in milliseconds. */
  async timePoll(): Promise<number> {
    const cursor = await this.#reader.cursor();
    const startedAt = performance.now();
    await this.#reader.changesSince(cursor);
    return performance.now() - startedAt;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#listening;
    await Promise.all([this.store.close(), this.#reader.close()]);
  }
}
