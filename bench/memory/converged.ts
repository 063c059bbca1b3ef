import { step } from '../../test/cluster/progress.ts';
import { sql } from '../../test/support/postgres.ts';
import type { OperatorProcess } from '../../test/support/processes.ts';
import { until } from '../../test/support/until.ts';
import { untilQuiet } from '../change/filled.ts';
import { type BenchPostgres, cellRequests, type Lab, loadJobs, startBulkhead, storedCells } from '../lab/index.ts';
import { sendAll } from '../rebuild/replay.ts';

const START_LIMIT_MS = 60_000;
const LOOK_LIMIT_MS = 300_000;
const FILL_CONCURRENCY = 16;

/** Jobs whose cells are all there as they should be, though no operator runs. */
export interface Converged extends AsyncDisposable {
  /** Starts an operator, which finds everything done, as after a restart; resolves once it has looked at every job. */
  start(env?: Readonly<Record<string, string>>): Promise<OperatorProcess>;
}

/** The replay makes the cells, under the epoch of an operator that ran before. */
export async function converged(lab: Lab, postgres: BenchPostgres, jobs: number): Promise<Converged> {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await postgres.database());
  const former = startBulkhead(lab, database, { name: 'former' });
  await former.untilSaid('watching the cluster', START_LIMIT_MS);
  await former.stop();
  const written = await loadJobs(database.store, jobs, { tier: 'namespace' });
  const cells = await storedCells(lab, database.store.storeId, written);
  await step(`Making ${jobs} cells`, () => sendAll(lab, 'replay', cellRequests(cells), FILL_CONCURRENCY));
  const start = async (env: Readonly<Record<string, string>> = {}): Promise<OperatorProcess> => {
    await using started = new AsyncDisposableStack();
    // So that each start has the same to do, and it shows when it is done.
    await sql(database.superuserUrl, 'delete from bulkhead.observation');
    const operator = startBulkhead(lab, database, { env });
    started.defer(() => operator.kill());
    await until(`${jobs} jobs were looked at`, LOOK_LIMIT_MS, async () => {
      operator.requireAlive();
      const [row] = await sql<{ n: string }>(database.superuserUrl, 'select count(*) as n from bulkhead.observation');
      return Number(row?.n) >= jobs;
    });
    await untilQuiet(lab);
    started.move();
    return operator;
  };
  const parts = stack.move();
  return { start, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}
