import { readFile, writeFile } from 'node:fs/promises';
import { readTarget } from '../../src/cluster/target.ts';
import { MERGE_PATCH, type Transport } from '../../src/cluster/transport.ts';
import { type CellPlace, cellPlace } from '../../src/plan/names.ts';
import { step } from '../../test/cluster/progress.ts';
import { breakGlass } from '../../test/support/break-glass.ts';
import { TcpProxy } from '../../test/support/proxy.ts';
import { fill } from '../change/filled.ts';
import {
  type Contestant as Account,
  type BenchPostgres,
  benchSpec,
  changeJob,
  freshLab,
  type Lab,
  ObjectWatcher,
  WATCHED,
} from '../lab/index.ts';
import { CELLS_PATH } from '../yardsticks/cell.ts';
import { tunedYardstick } from './yardstick.ts';

export type Name = 'bulkhead' | 'controller-runtime';

/** An operator with cells of its own on an API server of its own, and somebody who may delete parts of them. */
export interface Contestant {
  readonly name: Name;
  readonly lab: Lab;
  /** Of the operator alone: whoever measures goes straight there. */
  readonly proxy: TcpProxy;
  readonly api: Transport;
  readonly watcher: ObjectWatcher;
  readonly cells: readonly CellPlace[];
  /** Wants so many workers of the job whose cell is `cells[index]`. */
  edit(index: number, replicas: number): Promise<void>;
  requireAlive(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A kubeconfig that leads through a proxy, in which TLS goes from end to end. */
async function proxied(lab: Lab, account: Account): Promise<{ readonly proxy: TcpProxy; readonly path: string }> {
  const path = lab.kubeconfigOf(account);
  const { server } = await readTarget({ kubeconfig: path, context: lab.cluster.context });
  const { hostname, port } = new URL(server);
  const proxy = await TcpProxy.to({ host: hostname, port: Number(port) });
  const own = `${path}.proxied`;
  await writeFile(own, (await readFile(path, 'utf8')).replace(server, proxy.urlFor(server).replace(/\/$/, '')), {
    mode: 0o600,
  });
  return { proxy, path: own };
}

/** Whoever deletes, and whoever watches. */
async function hands(
  stack: AsyncDisposableStack,
  lab: Lab,
): Promise<{ readonly api: Transport; readonly watcher: ObjectWatcher }> {
  const api = await breakGlass(lab.cluster);
  stack.defer(() => api.close());
  const watcher = stack.use(
    await ObjectWatcher.open(lab, { kinds: Object.values(WATCHED), labelSelector: 'bulkhead.dev/job-id' }),
  );
  return { api, watcher };
}

export async function bulkheadContestant(postgres: BenchPostgres, jobs: number): Promise<Contestant> {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await postgres.database());
  const ways: TcpProxy[] = [];
  const filled = stack.use(
    await fill(database, {
      name: 'heal-bulkhead',
      jobs,
      tier: 'namespace',
      controllers: true,
      kubeconfig: async (lab) => {
        const { proxy, path } = await proxied(lab, 'bulkhead');
        ways.push(stack.use(proxy));
        return path;
      },
    }),
  );
  const { lab, operator } = filled;
  const [proxy] = ways;
  if (!proxy) throw new Error('the operator was started without its proxy');
  const { store } = database;
  const both = await hands(stack, lab);
  const owned = stack.move();
  return {
    name: 'bulkhead',
    lab,
    proxy,
    ...both,
    cells: filled.jobs.map((job) => cellPlace(store.storeId, job, 'namespace')),
    edit: async (index, replicas) => {
      const job = filled.jobs[index];
      const spec = benchSpec();
      if (job) await changeJob(store, job, { ...spec, workers: { ...spec.workers, replicas } });
    },
    requireAlive: () => void operator.requireAlive(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export async function yardstickContestant(jobs: number): Promise<Contestant> {
  await using stack = new AsyncDisposableStack();
  const lab = stack.use(await freshLab('heal-yardstick', { controllers: true }));
  const { proxy, path } = await proxied(lab, 'controller-runtime');
  stack.use(proxy);
  const yardstick = stack.use(
    await step(`Filling heal-yardstick with ${jobs} jobs`, () => tunedYardstick(lab, jobs, { kubeconfig: path })),
  );
  const both = await hands(stack, lab);
  const owned = stack.move();
  let revision = 1;
  return {
    name: 'controller-runtime',
    lab,
    proxy,
    ...both,
    cells: yardstick.cells.map(({ source }) => cellPlace(source.storeId, source.job, 'namespace')),
    edit: async (index, replicas) => {
      const cell = yardstick.cells[index];
      revision += 1;
      const options = { contentType: MERGE_PATCH, body: { spec: { replicas, revision } } };
      if (cell) await both.api.call('PATCH', `${CELLS_PATH}/${cell.source.job.id}`, options);
    },
    requireAlive: () => yardstick.requireAlive(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
