import { setTimeout as sleep } from 'node:timers/promises';
import type { Contestant } from './contestants.ts';

/** People who edit goals at a steady rate, one after the other in turn, until they are stopped. */
export class SteadyEdits {
  readonly #abort = new AbortController();
  readonly #running: Promise<void>;
  #failure: Error | undefined;
  count = 0;

  /**
   * @param rate edits a second
   * @param indexes of the jobs that are edited
   */
  constructor(contestant: Contestant, rate: number, indexes: readonly number[]) {
    this.#running = this.#run(contestant, rate, indexes).catch((error: unknown) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    });
  }

  async #run(contestant: Contestant, rate: number, indexes: readonly number[]): Promise<void> {
    const { signal } = this.#abort;
    const startedAt = performance.now();
    // From round to round of a job another number, whatever it had at the beginning.
    while (!signal.aborted && indexes.length > 0) {
      const index = indexes[this.count % indexes.length] ?? 0;
      const replicas = 1 + ((Math.floor(this.count / indexes.length) + index) % 2) * 2;
      await contestant.edit(index, replicas);
      this.count += 1;
      const dueAt = startedAt + (this.count * 1000) / rate;
      // Ended by the signal: that is what it waits for.
      await sleep(Math.max(0, dueAt - performance.now()), undefined, { signal }).catch(() => undefined);
    }
  }

  /** @throws Error when an edit failed */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    if (this.#failure) throw this.#failure;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }
}
