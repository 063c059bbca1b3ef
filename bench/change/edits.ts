import type { JobSpec } from '../../src/job/spec.ts';
import { benchSpec, changeJob, type LoadOptions, type ObjectWatcher, type WrittenJob } from '../lab/index.ts';
import type { Filled } from './filled.ts';
import type { Sample } from './sample.ts';

const SEEN_LIMIT_MS = 30_000;

/** `replicas` changes the quota too, whose write comes before that of the Deployment; `image` changes it alone. */
export type Edit = 'replicas' | 'image';

/** Edits a few of the jobs of a site, one after the other, and waits until the Deployment shows it. */
export class Editor {
  readonly #site: Filled;
  readonly #watcher: ObjectWatcher;
  readonly #jobs: readonly WrittenJob[];
  readonly #tier: LoadOptions['tier'];
  readonly #edit: Edit;
  #turn = 0;

  /** @param count how many of the jobs take their turns */
  constructor(
    site: Filled,
    watcher: ObjectWatcher,
    options: { readonly count: number; readonly tier: LoadOptions['tier']; readonly edit: Edit },
  ) {
    this.#site = site;
    this.#watcher = watcher;
    this.#tier = options.tier;
    this.#edit = options.edit;
    const step = Math.max(1, Math.floor(site.jobs.length / options.count));
    this.#jobs = site.jobs.filter((_, i) => i % step === 0).slice(0, options.count);
  }

  /** @returns besides the times, which job it was */
  async sample(): Promise<Sample & { readonly job: WrittenJob }> {
    const job = this.#jobs[this.#turn % this.#jobs.length];
    if (!job) throw new Error('there is no job to edit');
    this.#turn += 1;
    const marker = `"bulkhead.dev/job-id":"${job.id}"`;
    const wanted = this.#marker();
    const seen = this.#watcher.next(
      `the edit of ${job.name}`,
      SEEN_LIMIT_MS,
      ({ line }) => line.includes(marker) && line.includes(wanted),
    );
    const { committedAt } = await this.#write(job);
    const { atMs } = await seen;
    return { job, committedAt, seenMs: atMs - committedAt };
  }

  async #write(job: WrittenJob): Promise<{ readonly committedAt: number }> {
    await changeJob(this.#site.database.store, job, this.#spec());
    return { committedAt: performance.now() };
  }

  /** In turns, so that each edit of a job changes something: every job has had as many turns as its neighbour. */
  get #round(): number {
    return Math.floor((this.#turn - 1) / this.#jobs.length);
  }

  #replicas(): number {
    return this.#round % 2 === 0 ? 3 : 2;
  }

  #image(): string {
    return `registry.example/app:edit-${this.#round}`;
  }

  #marker(): string {
    return this.#edit === 'replicas' ? `"spec":{"replicas":${this.#replicas()},` : `"image":"${this.#image()}"`;
  }

  #spec(): JobSpec {
    const spec = benchSpec(this.#edit === 'image' ? this.#image() : undefined, this.#tier);
    return this.#edit === 'image' ? spec : { ...spec, workers: { ...spec.workers, replicas: this.#replicas() } };
  }
}
