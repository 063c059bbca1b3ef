import { step } from '../../test/cluster/progress.ts';
import { type Filled, fill } from '../change/filled.ts';
import { tunedYardstick } from '../heal/yardstick.ts';
import { type BenchPostgres, benchPostgres, freshLab, type Lab } from '../lab/index.ts';
import type { BenchResult } from '../result.ts';
import { listen, untilAtRest } from './listen.ts';
import { report } from './report.ts';
import { Statements } from './statements.ts';

export interface IdleOptions {
  /** By default 10,000; a tenth of them besides. */
  readonly jobs?: number;
  /** How long to listen; by default 600. */
  readonly seconds?: number;
  readonly quick?: boolean;
}

const [JOBS, SECONDS] = [10_000, 600];
const QUICK = { jobs: 10, seconds: 2 } as const;

interface Bulkhead {
  readonly filled: Filled;
  readonly statements: Statements;
}

async function bulkhead(
  stack: AsyncDisposableStack,
  postgres: BenchPostgres,
  name: string,
  jobs: number,
): Promise<Bulkhead> {
  const database = await postgres.database();
  const statements = stack.use(await Statements.on(database.url));
  const options = {
    name,
    jobs,
    tier: 'namespace',
    controllers: false,
    streamJobs: true,
    databaseUrl: statements.url,
  } as const;
  return { filled: stack.use(await fill(database, options)), statements };
}

async function yardstick(
  stack: AsyncDisposableStack,
  jobs: number,
): Promise<{ readonly lab: Lab; readonly pid: number }> {
  const lab = stack.use(await freshLab('idle-yardstick', { controllers: false }));
  const started = await step(`Filling idle-yardstick with ${jobs} jobs`, () => tunedYardstick(lab, jobs));
  stack.use(started);
  return { lab, pid: started.pid };
}

/**
 * What a converged operator does while nobody wants anything: calls to the API server, queries, processor time. Two sizes
 * of Bulkhead and the tuned yardstick, each on an API server of its own, are listened to in the same minutes.
 */
export async function idle(given: IdleOptions): Promise<BenchResult> {
  const { jobs = JOBS, seconds = SECONDS } = given.quick ? QUICK : given;
  const fewJobs = Math.max(1, Math.round(jobs / 10));
  await using stack = new AsyncDisposableStack();
  const postgres = stack.use(await benchPostgres('idle'));
  // A smoke run has time for one.
  const few = given.quick ? null : await bulkhead(stack, postgres, 'idle-few', fewJobs);
  const many = await bulkhead(stack, postgres, 'idle-many', jobs);
  const other = given.quick ? null : await yardstick(stack, jobs);
  const sites = few ? [few, many] : [many];
  const to = [
    ...sites.map(({ filled }) => ({ lab: filled.lab, contestant: 'bulkhead' as const, pid: filled.operator.pid })),
    ...(other ? [{ ...other, contestant: 'controller-runtime' as const }] : []),
  ];
  if (!given.quick) await step('Waiting until nobody writes any more', () => untilAtRest(to));
  for (const { statements } of sites) statements.reset();
  const heard = await step(`Listening for ${seconds} s`, () => listen(to, seconds));
  const rows = to.map(({ contestant }, i) => {
    const site = sites[i];
    const own = heard[i];
    if (!own) throw new Error('an operator was not listened to');
    return {
      contestant,
      jobs: site?.filled.jobs.length ?? jobs,
      ...own,
      queries: site ? { total: site.statements.total, byText: site.statements.byText } : null,
    };
  });
  return report(rows, seconds, given.quick === true);
}
