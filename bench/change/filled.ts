import { setTimeout as sleep } from 'node:timers/promises';
import { note, step } from '../../test/cluster/progress.ts';
import { sql } from '../../test/support/postgres.ts';
import type { OperatorProcess } from '../../test/support/processes.ts';
import {
  AuditTail,
  type BenchDatabase,
  freshLab,
  type Lab,
  type LabOptions,
  type LoadOptions,
  loadJobs,
  startBulkhead,
  type WrittenJob,
} from '../lab/index.ts';
import { ReadyWorkers } from './ready-workers.ts';

const POLL_MS = 500;
const TELL_MS = 15_000;
const STALL_MS = 60_000;
/** Nothing but pings for this long: whatever followed from the last write is over. */
const QUIET_MS = 1_500;
const JOBS_A_SECOND = 50;

export interface FillOptions extends LabOptions {
  /** Of the API server: no two at once may share it. */
  readonly name: string;
  readonly jobs: number;
  readonly tier: LoadOptions['tier'];
  /** Where the operator finds the store, if not straight there. */
  readonly databaseUrl?: string;
  /** Made into the kubeconfig that the operator gets, if not the lab's own. */
  readonly kubeconfig?: (lab: Lab) => Promise<string>;
}

/** An API server, an operator, and its jobs, all of which run and want nothing. */
export interface Filled {
  readonly lab: Lab;
  readonly database: BenchDatabase;
  readonly operator: OperatorProcess;
  readonly jobs: readonly WrittenJob[];
  /** From the operator's start until the last job ran. */
  readonly filledMs: number;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Fills an API server by the operator itself. Without controllers, workers are said to be ready by {@link ReadyWorkers}. */
export async function fill(database: BenchDatabase, options: FillOptions): Promise<Filled> {
  const { name, jobs: count, tier, controllers } = options;
  await using stack = new AsyncDisposableStack();
  const lab = stack.use(await freshLab(name, options));
  const jobs = await loadJobs(database.store, count, { tier });
  const typical = `about ${Math.ceil(count / JOBS_A_SECOND)} s`;
  const { operator, filledMs } = await step(
    `Filling ${name} with ${count} jobs`,
    async () => {
      await using ready = controllers ? null : await ReadyWorkers.start(lab);
      const startedAt = performance.now();
      const operator = stack.use(await startIn(lab, database, options));
      await untilRunning(database.superuserUrl, count, () => {
        operator.requireAlive();
        ready?.requireSound();
      });
      return { operator, filledMs: performance.now() - startedAt };
    },
    { typical },
  );
  await untilQuiet(lab);
  const parts = stack.move();
  return { lab, database, operator, jobs, filledMs, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

async function startIn(lab: Lab, database: BenchDatabase, options: FillOptions): Promise<OperatorProcess> {
  const url = options.databaseUrl ?? database.url;
  const env = options.kubeconfig ? { KUBECONFIG: await options.kubeconfig(lab) } : {};
  return startBulkhead(lab, { url }, { name: options.name, env });
}

/** Waits until so many jobs run, by the store's own word. @throws Error when none more has for a minute */
async function untilRunning(superuserUrl: string, count: number, check: () => void): Promise<void> {
  let [running, movedAt, toldAt] = [-1, performance.now(), performance.now()];
  while (running < count) {
    check();
    const [row] = await sql<{ n: string }>(
      superuserUrl,
      `select count(*) as n from bulkhead.observation where status->>'phase' = 'Running'`,
    );
    const now = performance.now();
    if (Number(row?.n) !== running) [running, movedAt] = [Number(row?.n), now];
    if (now - movedAt > STALL_MS) throw new Error(`${running} of ${count} jobs run, and none more for a minute`);
    if (now - toldAt > TELL_MS) {
      note(`  ${running} of ${count} jobs run`);
      toldAt = now;
    }
    if (running < count) await sleep(POLL_MS);
  }
}

/** Waits until nobody has written anything to the API server for a while. */
export async function untilQuiet(lab: Lab, quietMs = QUIET_MS): Promise<void> {
  await using tail = await AuditTail.from(lab.cluster.auditLogPath);
  const deadline = performance.now() + STALL_MS;
  let heardAt = performance.now();
  while (performance.now() - heardAt < quietMs) {
    await sleep(POLL_MS / 5);
    if ((await tail.read()).length > 0) heardAt = performance.now();
    if (performance.now() > deadline) throw new Error(`${lab.name} is not quiet after ${STALL_MS / 1000} s`);
  }
}
