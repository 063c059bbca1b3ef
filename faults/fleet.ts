import type { ControlPlaneCluster } from '../test/cluster/index.ts';
import { step } from '../test/cluster/progress.ts';
import { type TestDatabase, testDatabase } from '../test/support/postgres.ts';
import { OperatorProcess, type OperatorProcessOptions } from '../test/support/processes.ts';
import { applyAll, numbered, specOf, untilRunning, type WrittenJob } from './jobs.ts';
import { startReplicas, untilEven } from './replicas.ts';
import { type Size, sized } from './scenario.ts';

const REPLICAS = 3;
const JOBS_A_WRITE = 500;
const JOB_LIMIT_MS = 500;

/** Three replicas on one store, and many jobs: shared by the scenarios of rows 19 and 20. */
export class Fleet {
  readonly cluster: ControlPlaneCluster;
  readonly database: TestDatabase;
  readonly jobs: readonly WrittenJob[];
  /** How long it took until all jobs ran. */
  readonly convergedMs: number;
  replicas: OperatorProcess[];
  #started = REPLICAS;

  private constructor(parts: Pick<Fleet, 'cluster' | 'database' | 'jobs' | 'convergedMs' | 'replicas'>) {
    this.cluster = parts.cluster;
    this.database = parts.database;
    this.jobs = parts.jobs;
    this.convergedMs = parts.convergedMs;
    this.replicas = parts.replicas;
  }

  static async start(cluster: ControlPlaneCluster, size: Size): Promise<Fleet> {
    const count = sized(size, 60, 2_000);
    await using stack = new AsyncDisposableStack();
    const database = stack.use(await testDatabase());
    const options = numbered(REPLICAS, 'replica').map((name) => optionsOf(cluster, database, name));
    const replicas = await step(`Starting ${REPLICAS} replicas`, () => startReplicas(database.superuserUrl, options));
    for (const replica of replicas) stack.use(replica);
    const { jobs, convergedMs } = await step(
      `Waiting until ${count} jobs run`,
      async () => {
        const names = numbered(count);
        const written: WrittenJob[] = [];
        for (let i = 0; i < count; i += JOBS_A_WRITE) {
          written.push(...(await applyAll(database.store, names.slice(i, i + JOBS_A_WRITE), specOf('app:1'))));
        }
        const limitMs = 60_000 + count * JOB_LIMIT_MS;
        return { jobs: written, convergedMs: await untilRunning(database.store, written, limitMs) };
      },
      { typical: sized(size, '10 s', '3–5 min') },
    );
    stack.move();
    return new Fleet({ cluster, database, jobs, convergedMs, replicas });
  }

  /** A new replica in place of one that has ended; waits until the shards are even again. */
  async replace(ended: OperatorProcess, options: Partial<OperatorProcessOptions> = {}): Promise<OperatorProcess> {
    this.#started += 1;
    const name = `replica-${this.#started}`;
    const fresh = OperatorProcess.start({ ...optionsOf(this.cluster, this.database, name), ...options });
    this.replicas = [...this.replicas.filter((replica) => replica !== ended), fresh];
    await untilEven(this.database.superuserUrl, this.replicas);
    return fresh;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.kill()));
    await this.database[Symbol.asyncDispose]();
  }
}

const optionsOf = (cluster: ControlPlaneCluster, database: TestDatabase, name: string): OperatorProcessOptions => ({
  name,
  databaseUrl: database.url,
  kubeconfig: cluster.kubeconfigPath,
});
