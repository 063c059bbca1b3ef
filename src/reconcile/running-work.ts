import type { Shard } from '../job/ids.ts';

/** What is in hand, each piece with its shard, and who waits for its end. */
export class RunningWork {
  readonly #running = new Map<Promise<void>, Shard>();

  /** Runs `work`, which never rejects, as work of this shard. */
  async during(shard: Shard, work: () => Promise<void>): Promise<void> {
    const running = work();
    this.#running.set(running, shard);
    try {
      await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /** Resolves when what these shards (or all) have in hand now has ended. */
  async drained(shards?: readonly Shard[]): Promise<void> {
    const awaited = [...this.#running].filter(([, shard]) => shards?.includes(shard) ?? true);
    await Promise.allSettled(awaited.map(([running]) => running));
  }
}
