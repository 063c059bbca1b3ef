import { type JobId, type Shard, shardOf } from '../job/ids.ts';
import { Same } from '../job/same.ts';
import type { JobStatus, Phase } from '../job/status.ts';

/** One for all jobs of a shard of which the same can be said. */
interface Seen {
  readonly shard: Shard;
  readonly phase: Phase;
  /** Why the job is not Ready; null when it is. */
  readonly reason: string | null;
}

export interface JobCounts {
  readonly byPhase: ReadonlyMap<string, number>;
  /** Jobs whose Ready is not True, by its reason. */
  readonly notReady: ReadonlyMap<string, number>;
}

function count(words: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/** What the last turn of each job came to, so that jobs can be counted without asking the store. */
export class Census {
  readonly #jobs = new Map<JobId, Seen>();
  readonly #same = new Same<Seen>();

  saw({ jobId, phase, conditions }: JobStatus): void {
    if (phase === 'Gone') {
      this.#jobs.delete(jobId);
      return;
    }
    const ready = conditions.find(({ type }) => type === 'Ready');
    const reason = ready && ready.status !== 'True' ? ready.reason : null;
    this.#jobs.set(jobId, this.#same.of({ shard: shardOf(jobId), phase, reason }));
  }

  /** Jobs of these shards; those of all others are forgotten, since another replica counts them. */
  counts(shards: ReadonlySet<Shard>): JobCounts {
    for (const [id, { shard }] of this.#jobs) if (!shards.has(shard)) this.#jobs.delete(id);
    const seen = [...this.#jobs.values()];
    return {
      byPhase: count(seen.map(({ phase }) => phase)),
      notReady: count(seen.flatMap(({ reason }) => reason ?? [])),
    };
  }
}
