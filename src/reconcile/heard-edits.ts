import type { JobId } from '../job/ids.ts';

/** Longer than a dead replica's shards need to find another owner. */
const REMEMBERED_MS = 60_000;
/** More than people edit within that time; beyond it the oldest are forgotten, and found with the rest of the shard. */
const MAX_REMEMBERED = 1_000;

/**
 * Edits of jobs that this replica does not act for: their owner may just have died. Whoever takes the shard over serves
 * them before the rest of it.
 */
export class HeardEdits {
  readonly #heard = new Map<JobId, number>();
  readonly #now: () => number;

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number = performance.now.bind(performance)) {
    this.#now = now;
  }

  add(id: JobId): void {
    this.#heard.delete(id);
    this.#heard.set(id, this.#now());
    if (this.#heard.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#heard.keys();
    if (oldest !== undefined) this.#heard.delete(oldest);
  }

  /** Those of these jobs that were edited lately, in their order; they are forgotten by it, and so is what is old. */
  take(isTaken: (id: JobId) => boolean): JobId[] {
    const since = this.#now() - REMEMBERED_MS;
    for (const [id, heardAt] of this.#heard) if (heardAt < since) this.#heard.delete(id);
    const taken = [...this.#heard.keys()].filter(isTaken);
    for (const id of taken) this.#heard.delete(id);
    return taken;
  }
}
