import type { JobId } from '../job/ids.ts';
import type { Log } from '../ports/log.ts';
import type { GoalCatalog } from '../ports/store.ts';

/** Cells whose jobs the store has never heard of: each is reported once and left alone. */
export class Orphans {
  readonly #store: Pick<GoalCatalog, 'knows'>;
  readonly #log: Log;
  readonly #reported = new Set<JobId>();

  constructor(store: Pick<GoalCatalog, 'knows'>, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** Looks into a job of which no goal was read. @throws Error when the store knows it: that read came too short */
  async meet(id: JobId): Promise<void> {
    if (this.#reported.has(id)) return;
    if ((await this.#store.knows([id])).has(id)) throw new Error('the store knows the job and shows no goal of it');
    this.#reported.add(id);
    this.#log.warn({ jobId: id }, 'a cell without a goal is in the cluster; see: bulkhead orphans');
  }
}
