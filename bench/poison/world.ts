import { applyAll, numbered, TENANT, untilServed } from '../../faults/jobs.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import { note, step } from '../../test/cluster/progress.ts';
import { breakGlass } from '../../test/support/break-glass.ts';
import { OperatorProcess } from '../../test/support/processes.ts';
import {
  benchPostgres,
  benchSpec,
  CpuMeter,
  cpuSeconds,
  freshLab,
  ObjectWatcher,
  onInterrupt,
  treeCpuSeconds,
  WATCHED,
} from '../lab/index.ts';
import { BadJobs as Bad, type BadJobs, type BadJobsDeps, type Kind, REFUSING_POLICY } from './bad-jobs.ts';
import { Edits } from './edits.ts';
import { HoldingProxy } from './proxy.ts';
import { Sights } from './sights.ts';
import { Undoer } from './undoer.ts';

const START_LIMIT_MS = 60_000;
const JOB_LIMIT_MS = 500;

/** One operator with many jobs, of which any may be made bad; and eyes of our own on the cluster. */
export interface World extends AsyncDisposable {
  readonly operator: OperatorProcess;
  readonly proxy: HoldingProxy;
  readonly undoer: Undoer;
  /** Counts from now on what the API server, etcd, the operator and Postgres use. */
  meter(): Promise<CpuMeter>;
  /** The first jobs, up to `count` of them. */
  badJobs(count: number, kinds: readonly Kind[]): BadJobs;
  /** Edits of the jobs from number `from` on. */
  edits(from: number): Edits;
}

/** Starts an API server, a store with `count` jobs, and an operator that has made all their cells. */
export async function makeWorld(count: number): Promise<World> {
  const stack = new AsyncDisposableStack();
  try {
    const lab = stack.use(await freshLab('bench-poison', { controllers: false }));
    const admin = await breakGlass(lab.cluster);
    const undoer = stack.use(new Undoer(admin));
    for (const { path, body } of REFUSING_POLICY) await admin.call('POST', path, { body });
    const postgres = stack.use(await benchPostgres('poison'));
    const database = stack.use(await postgres.database());
    const { store } = database;
    const proxy = stack.use(await HoldingProxy.to(lab.cluster));
    const names = numbered(count);
    const jobs = await applyAll(store, names, benchSpec());
    const kubeconfig = await proxy.kubeconfig(lab.kubeconfigOf('bulkhead'));
    const operator = stack.use(OperatorProcess.start({ name: 'bulkhead', databaseUrl: database.url, kubeconfig }));
    stack.defer(onInterrupt(() => operator.kill()));
    await operator.untilSaid('watching the cluster', START_LIMIT_MS);
    await step(`Waiting for the cells of ${count} jobs`, () =>
      untilServed(store, jobs, START_LIMIT_MS + count * JOB_LIMIT_MS),
    );
    const watcher = stack.use(await ObjectWatcher.open(lab, { kinds: [WATCHED.deployments] }));
    const sights = stack.use(new Sights(watcher));
    let last = 1;
    const next = (): number => {
      last += 1;
      return last;
    };
    const namespaceOf = (name: string): string => cellNamespace(store.storeId, { tenant: TENANT, name });
    const deps: BadJobsDeps = { store, proxy, undoer, namespaceOf, next };
    const seen = (name: string, number: number, timeoutMs: number) => sights.of(namespaceOf(name), number, timeoutMs);
    const everything = stack.move();
    return {
      operator,
      proxy,
      undoer,
      meter: () =>
        CpuMeter.start(lab, {
          operator: () => cpuSeconds(operator.pid),
          postgres: () => treeCpuSeconds(postgres.pid),
        }),
      badJobs: (bad, kinds) => new Bad(deps, names.slice(0, bad), kinds),
      edits: (from) => new Edits({ store, seen, next }, names.slice(from)),
      [Symbol.asyncDispose]: () => everything.disposeAsync(),
    };
  } catch (error) {
    note('Cleaning up …');
    await stack.disposeAsync();
    throw error;
  }
}
