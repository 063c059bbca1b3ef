import { setTimeout as sleep } from 'node:timers/promises';
import { cellsOf, disturbed, watchDeletions, workersOf } from '../cells.ts';
import { applyAll, numbered, specOf, untilRunning, untilServed } from '../jobs.ts';
import { ownServer } from '../own-server.ts';
import { startReplicas } from '../replicas.ts';
import { judge, type Scenario, seconds, sized } from '../scenario.ts';

const RUN_LIMIT_MS = 60_000;
const NOTICE_MS = 10_000;
const LOOK_EVERY_MS = 1_000;
const BACK_LIMIT_MS = 30_000;

export const postgresDown: Scenario = {
  row: '5',
  name: 'postgres-down',
  what: 'Postgres is away for 10 minutes (sampled: 20 s): every worker runs on, nothing is deleted, the operator is not ready and yet alive',
  run: async ({ size, stage }) => {
    const cluster = await stage.cluster();
    const api = await stage.api();
    await using server = await ownServer('down');
    const { store, url, superuserUrl } = server;
    const options = { name: 'down', databaseUrl: url, kubeconfig: cluster.kubeconfigPath };
    const [replica] = await startReplicas(superuserUrl, [options]);
    if (!replica) throw new Error('no replica was started');
    await using _replica = replica;
    const jobs = await applyAll(store, numbered(5), specOf('app:1'));
    await untilRunning(store, jobs, RUN_LIMIT_MS);
    const [workers, cells] = [await workersOf(api, store.storeId), await cellsOf(api, store.storeId)];
    const deletions = await watchDeletions(cluster, api, store.storeId);
    const awayMs = sized(size, 20_000, 600_000);
    const downAt = performance.now();
    await server.kill();
    const wrong = { ready: 0, dead: 0, looks: 0 };
    while (performance.now() - downAt < awayMs) {
      await sleep(LOOK_EVERY_MS);
      const { healthz, readyz } = await replica.health();
      wrong.looks += 1;
      if (healthz !== 200) wrong.dead += 1;
      if (readyz !== 503 && performance.now() - downAt > NOTICE_MS) wrong.ready += 1;
    }
    const touched = disturbed(workers, await workersOf(api, store.storeId));
    const cellsNow = await cellsOf(api, store.storeId);
    const lost = [...cells].filter(([id, uid]) => cellsNow.get(id) !== uid).length;
    await server.start();
    const edited = await applyAll(store, numbered(1), specOf('app:2'));
    const backMs = await untilServed(store, edited, BACK_LIMIT_MS);
    const deleted = (await deletions.since()).length;
    return judge(
      [
        { what: `${touched} workers were replaced or restarted`, held: touched === 0 },
        { what: `${lost} cells are gone`, held: lost === 0 },
        { what: `${deleted} objects were deleted`, held: deleted === 0 },
        { what: `said to be ready ${wrong.ready} times of ${wrong.looks}`, held: wrong.ready === 0 },
        { what: `said to be dead ${wrong.dead} times of ${wrong.looks}`, held: wrong.dead === 0 },
      ],
      {
        figure: `${seconds(awayMs)} away: ${workers.size} workers ran on, ${deleted} deletes, not ready, alive; back after ${seconds(backMs)}`,
        limit: '0 deletes, readiness false, liveness true',
        detail: { awayMs, workers: workers.size, touched, deleted, backMs: Math.round(backMs), ...wrong },
      },
    );
  },
};
