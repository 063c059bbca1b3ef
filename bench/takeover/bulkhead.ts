import { ownerships, untilEven } from '../../faults/replicas.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import { step } from '../../test/cluster/progress.ts';
import type { OperatorProcess } from '../../test/support/processes.ts';
import { until } from '../../test/support/until.ts';
import {
  type BenchDatabase,
  benchSpec,
  changeJob,
  type Lab,
  loadJobs,
  type ObjectWatcher,
  onInterrupt,
  startBulkhead,
  type WrittenJob,
} from '../lab/index.ts';
import { type Duo, TAKEOVER_LIMIT_MS } from './duo.ts';

const START_LIMIT_MS = 60_000;
const JOB_LIMIT_MS = 500;

/** Two replicas of Bulkhead: each has half of the shards, and an edit is of a job of the one that goes. */
export class BulkheadDuo implements Duo {
  readonly #lab: Lab;
  readonly #database: BenchDatabase;
  readonly #watcher: ObjectWatcher;
  readonly #jobs: readonly WrittenJob[];
  #replicas: OperatorProcess[] = [];
  #started = 0;

  private constructor(lab: Lab, database: BenchDatabase, watcher: ObjectWatcher, jobs: readonly WrittenJob[]) {
    this.#lab = lab;
    this.#database = database;
    this.#watcher = watcher;
    this.#jobs = jobs;
  }

  static async start(lab: Lab, database: BenchDatabase, watcher: ObjectWatcher, count: number): Promise<BulkheadDuo> {
    const { store, superuserUrl } = database;
    const jobs = await loadJobs(store, count, { tier: 'namespace' });
    const duo = new BulkheadDuo(lab, database, watcher, jobs);
    onInterrupt(() => duo[Symbol.asyncDispose]());
    try {
      duo.#add();
      duo.#add();
      await step(`Starting two replicas of Bulkhead with ${count} jobs`, async () => {
        for (const replica of duo.#replicas) await replica.untilSaid('watching the cluster', START_LIMIT_MS);
        await untilEven(superuserUrl, duo.#replicas);
        await duo.#untilServed(START_LIMIT_MS + count * JOB_LIMIT_MS);
      });
      return duo;
    } catch (error) {
      await duo[Symbol.asyncDispose]();
      throw error;
    }
  }

  async lose(signal: 'SIGKILL' | 'SIGSTOP', replace: boolean): Promise<number> {
    const { store, superuserUrl } = this.#database;
    const [leaving, ...others] = this.#replicas;
    if (!leaving) throw new Error('no replica is left');
    const owned = await ownerships(superuserUrl);
    const job = this.#jobs.find(({ shard }) => owned[shard]?.pid === leaving.pid);
    if (!job) throw new Error('the replica that is to go owns none of the jobs: there are too few of them');
    const namespace = cellNamespace(store.storeId, job);
    const image = `registry.example/app:${performance.now().toFixed(0)}`;
    const seeing = this.#watcher.next('the survivor’s write', TAKEOVER_LIMIT_MS, (event) => {
      return event.namespace === namespace && event.line.includes(`"image":"${image}"`);
    });
    const lostAt = performance.now();
    leaving.signal(signal);
    await changeJob(store, job, benchSpec(image));
    const { atMs } = await seeing;
    await leaving.kill();
    this.#replicas = others;
    if (replace) {
      await this.#add().untilSaid('watching the cluster', START_LIMIT_MS);
      await untilEven(superuserUrl, this.#replicas);
    }
    return atMs - lostAt;
  }

  #add(): OperatorProcess {
    this.#started += 1;
    const replica = startBulkhead(this.#lab, this.#database, { name: `replica-${this.#started}` });
    this.#replicas.push(replica);
    return replica;
  }

  async #untilServed(timeoutMs: number): Promise<void> {
    const ids = this.#jobs.map(({ id }) => id);
    await until(`${ids.length} jobs are served`, timeoutMs, async () => {
      const stored = await this.#database.store.statuses(ids);
      return stored.filter(({ status }) => status.observedRevision >= 1).length === ids.length;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#replicas.map((replica) => replica.kill()));
  }
}
