import { disturbed, workersOf } from '../cells.ts';
import { applyAll, numbered, specOf, untilRunning, untilServed } from '../jobs.ts';
import { ownServer } from '../own-server.ts';
import { startReplicas } from '../replicas.ts';
import { judge, type Scenario, seconds, sized } from '../scenario.ts';

const LIMIT_MS = 10_000;
const RUN_LIMIT_MS = 60_000;
/** Longer than a lease, so that the restart is also a loss of all shards. */
const AWAY_MS = 8_000;

export const postgresRestart: Scenario = {
  row: '3',
  name: 'postgres-restart',
  what: 'Postgres is killed and comes back: an edit is acted on within 10 s of its return, and no worker was touched',
  run: async ({ size, stage }) => {
    const { kubeconfigPath: kubeconfig } = await stage.cluster();
    const api = await stage.api();
    await using server = await ownServer('restart');
    const { store, url, superuserUrl } = server;
    const [replica] = await startReplicas(superuserUrl, [{ name: 'restart', databaseUrl: url, kubeconfig }]);
    await using _replica = replica;
    const names = numbered(sized(size, 5, 20));
    await untilRunning(store, await applyAll(store, names, specOf('app:1')), RUN_LIMIT_MS);
    const resumes: number[] = [];
    let touched = 0;
    for (let i = 0; i < sized(size, 1, 5); i += 1) {
      const before = await workersOf(api, store.storeId);
      await server.kill();
      // The first time it comes back at once, later after the leases have run out.
      if (i > 0) await new Promise((resolve) => setTimeout(resolve, AWAY_MS));
      await server.start();
      const backAt = performance.now();
      touched += disturbed(before, await workersOf(api, store.storeId));
      const edited = await applyAll(store, names.slice(0, 1), specOf(`app:${i + 2}`));
      await untilServed(store, edited, RUN_LIMIT_MS);
      resumes.push(performance.now() - backAt);
      await untilRunning(store, edited, RUN_LIMIT_MS);
    }
    const worst = Math.max(...resumes);
    return judge(
      [
        { what: `resumed after ${seconds(worst)}`, held: worst <= LIMIT_MS },
        { what: `${touched} workers were replaced or restarted`, held: touched === 0 },
      ],
      {
        figure: `resumed after ${seconds(worst)} at the most (${resumes.length}×), ${touched} workers touched`,
        limit: '10 s, 0 workers',
        detail: { resumesMs: resumes.map(Math.round), touched },
      },
    );
  },
};
