import type { Shard } from '../job/ids.ts';

/** What is in hand, by shard, and who waits for its end. */
export class RunningWork {
  readonly #running = new Map<Shard, Set<Promise<void>>>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Runs `work`, which never rejects, as work of this shard. */
  async during(shard: Shard, work: () => Promise<void>): Promise<void> {
    const set = this.#running.get(shard) ?? new Set();
    this.#running.set(shard, set);
    this.#count += 1;
    const running = work();
    set.add(running);
    try {
      await running;
    } finally {
      this.#count -= 1;
      set.delete(running);
      if (set.size === 0) this.#running.delete(shard);
    }
  }

  /** Resolves when what these shards (or all) have in hand now has ended. */
  async drained(shards?: readonly Shard[]): Promise<void> {
    const sets = shards ? shards.map((shard) => this.#running.get(shard) ?? []) : [...this.#running.values()];
    await Promise.allSettled(sets.flatMap((set) => [...set]));
  }
}
