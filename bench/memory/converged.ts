import { step } from '../../test/cluster/progress.ts';
import { sql } from '../../test/support/postgres.ts';
import { until } from '../../test/support/until.ts';
import { untilQuiet } from '../change/filled.ts';
import {
  type BenchDatabase,
  type BenchPostgres,
  cellRequests,
  type Lab,
  loadJobs,
  startBulkhead,
  storedCells,
} from '../lab/index.ts';
import { sendAll } from '../rebuild/replay.ts';

const START_LIMIT_MS = 60_000;
const LOOK_LIMIT_MS = 300_000;
const FILL_CONCURRENCY = 16;

/** An operator whose jobs' cells are all there as they should be, and were before it started. */
export interface Converged extends AsyncDisposable {
  readonly pid: number;
  readonly database: BenchDatabase;
}

/**
 * The replay makes the cells under the epoch of an operator that ran before, so that the operator which is looked at
 * finds them done, as after a restart.
 */
export async function convergedBulkhead(
  lab: Lab,
  postgres: BenchPostgres,
  jobs: number,
  env: Readonly<Record<string, string>> = {},
): Promise<Converged> {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await postgres.database());
  const former = startBulkhead(lab, database, { name: 'former' });
  await former.untilSaid('watching the cluster', START_LIMIT_MS);
  await former.stop();
  const written = await loadJobs(database.store, jobs, { tier: 'namespace' });
  const cells = await storedCells(lab, database.store.storeId, written);
  await step(`Making ${jobs} cells`, () => sendAll(lab, 'replay', cellRequests(cells), FILL_CONCURRENCY));
  const operator = startBulkhead(lab, database, { env });
  stack.defer(() => operator.kill());
  await until(`${jobs} jobs were looked at`, LOOK_LIMIT_MS, async () => {
    operator.requireAlive();
    const [row] = await sql<{ n: string }>(database.superuserUrl, 'select count(*) as n from bulkhead.observation');
    return Number(row?.n) >= jobs;
  });
  await untilQuiet(lab);
  const parts = stack.move();
  return { pid: operator.pid, database, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}
