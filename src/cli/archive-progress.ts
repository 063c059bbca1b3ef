import type { ArchivedJob, StoreArchive } from '../job/archive.ts';
import { say } from './output.ts';

const SAY_EVERY_MS = 5_000;

const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;

/** Counts what of an archive goes by, and says so every few seconds. */
export class ArchiveProgress {
  readonly #word: string;
  readonly #startedAt = performance.now();
  #saidAt = performance.now();
  #jobs = 0;
  #revisions = 0;

  /** @param word what is done with it: `exported` */
  constructor(word: string) {
    this.#word = word;
  }

  /** The same archive, counted while its jobs are read. */
  counting(archive: StoreArchive): StoreArchive {
    return { ...archive, jobs: this.#count(archive.jobs) };
  }

  async *#count(jobs: AsyncIterable<ArchivedJob>): AsyncGenerator<ArchivedJob, void> {
    for await (const job of jobs) {
      yield job;
      this.#jobs += 1;
      this.#revisions += job.revisions.length;
      if (performance.now() - this.#saidAt < SAY_EVERY_MS) continue;
      this.#saidAt = performance.now();
      say(`${this.#text()} so far …`);
    }
  }

  #text(): string {
    return `${count(this.#jobs, 'job')} with ${count(this.#revisions, 'revision')}`;
  }

  end(): void {
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(1);
    say(`${this.#text()} ${this.#word} in ${seconds} s.`);
  }
}
