import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { applyAll, numbered, specOf, TENANT, timeEdit, untilServed } from '../../faults/jobs.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { ApiProxy, type ApiWrite } from '../support/api-proxy.ts';
import { testDatabase } from '../support/postgres.ts';
import { OperatorProcess } from '../support/processes.ts';
import { until } from '../support/until.ts';

/** A real API server that never answers the writes for many cells, and answers those for all others. */

const [JOBS, HANGING] = [60, 50];
/** faults.md, row 22. */
const LIMIT_MS = 5_000;

let cluster: ControlPlaneCluster;

before(async () => {
  cluster = await up('control-plane', { name: 'hanging-calls', fsync: false, fresh: true });
});
after(() => cluster.down());

test(`${HANGING} edits whose writes hang, all at once: an edit of a healthy job is served within 5 s, then and while they go on`, async (t) => {
  await using proxy = await ApiProxy.to(cluster);
  await using database = await testDatabase();
  const { store } = database;
  const names = numbered(JOBS);
  const jobs = await applyAll(store, names, specOf('app:1'));
  await using operator = OperatorProcess.start({
    name: 'hanging-calls',
    databaseUrl: database.url,
    kubeconfig: await proxy.kubeconfig(),
  });
  await untilServed(store, jobs, 60_000);
  const hung = names.slice(0, HANGING);
  const paths = hung.map((name) => `/namespaces/${cellNamespace(store.storeId, { tenant: TENANT, name })}`);
  const end = Promise.withResolvers<'cut'>();
  const hanging = new Set<ApiWrite>();
  proxy.hooks = {
    before: (write) => {
      if (!paths.some((path) => write.path.includes(path))) return 'pass';
      hanging.add(write);
      return end.promise;
    },
  };
  try {
    await applyAll(store, hung, specOf('app:2'));
    const healthy = names.slice(HANGING);
    const timesMs: number[] = [];
    for (const name of healthy) timesMs.push(Math.round(await timeEdit(store, name, 'app:2')));
    t.diagnostic(`after ${timesMs.join(', ')} ms, one after the other; ${hanging.size} writes hung`);
    assert.ok(Math.max(...timesMs) <= LIMIT_MS, `${timesMs.join(', ')} ms`);
    await until('each has hung', 10_000, () =>
      paths.every((path) => [...hanging].some((write) => write.path.includes(path))),
    );
    assert.ok(operator.alive);
  } finally {
    end.resolve('cut');
    proxy.hooks = {};
  }
});
