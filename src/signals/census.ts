import { type JobId, type Shard, shardOf } from '../job/ids.ts';
import type { JobStatus, Phase } from '../job/status.ts';

/** One for all jobs of which the same can be said: there are few of them, and many jobs. */
interface Seen {
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
  readonly #shards = new Map<Shard, Map<JobId, Seen>>();
  readonly #seen = new Map<string, Seen>();

  saw({ jobId, phase, conditions }: JobStatus): void {
    const jobs = this.#jobsOf(shardOf(jobId));
    if (phase === 'Gone') {
      jobs.delete(jobId);
      return;
    }
    const ready = conditions.find(({ type }) => type === 'Ready');
    const reason = ready && ready.status !== 'True' ? ready.reason : null;
    jobs.set(jobId, this.#same(phase, reason));
  }

  /** Jobs of these shards; those of all others are forgotten, since another replica counts them. */
  counts(shards: ReadonlySet<Shard>): JobCounts {
    for (const shard of this.#shards.keys()) if (!shards.has(shard)) this.#shards.delete(shard);
    const seen = [...this.#shards.values()].flatMap((jobs) => [...jobs.values()]);
    return {
      byPhase: count(seen.map(({ phase }) => phase)),
      notReady: count(seen.flatMap(({ reason }) => reason ?? [])),
    };
  }

  #jobsOf(shard: Shard): Map<JobId, Seen> {
    const known = this.#shards.get(shard);
    if (known) return known;
    const jobs = new Map<JobId, Seen>();
    this.#shards.set(shard, jobs);
    return jobs;
  }

  #same(phase: Phase, reason: string | null): Seen {
    const text = `${phase} ${reason}`;
    const known = this.#seen.get(text);
    if (known) return known;
    const seen = { phase, reason };
    this.#seen.set(text, seen);
    return seen;
  }
}
