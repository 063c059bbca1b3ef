import { setTimeout as sleep } from 'node:timers/promises';
import { objectPath } from '../../src/cluster/paths.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import { breakGlass } from '../../test/support/break-glass.ts';
import { testDatabase } from '../../test/support/postgres.ts';
import { until } from '../../test/support/until.ts';
import { cellsOf } from '../cells.ts';
import { applyAll, numbered, ORIGIN, removeAll, specOf, TENANT, timeEdit, untilRunning } from '../jobs.ts';
import { startReplicas } from '../replicas.ts';
import { judge, type Scenario, seconds, sized } from '../scenario.ts';

const RUN_LIMIT_MS = 120_000;
const BRAKED_LIMIT_MS = 30_000;
const REPAIR_LIMIT_MS = 5_000;
const RELEASED_LIMIT_MS = 60_000;

export const massDelete: Scenario = {
  row: '6',
  name: 'mass-delete',
  what: 'most jobs are removed at once: three replicas together let as many go as the brake allows, edits and repairs go on, and a release lets the rest go',
  run: async ({ size, stage }) => {
    const cluster = await stage.cluster();
    const api = await stage.api();
    const hands = await breakGlass(cluster);
    await using database = await testDatabase();
    const { store, url, superuserUrl } = database;
    const options = numbered(3, 'brake').map((name) => ({
      name,
      databaseUrl: url,
      kubeconfig: cluster.kubeconfigPath,
    }));
    await using stack = new AsyncDisposableStack();
    for (const replica of await startReplicas(superuserUrl, options)) stack.use(replica);
    const [all, removed] = sized(size, [30, 20], [100, 70]);
    const budget = Math.max(3, Math.floor(all * 0.05));
    const names = numbered(all);
    await untilRunning(store, await applyAll(store, names, specOf('app:1')), RUN_LIMIT_MS);

    const gone = await removeAll(store, names.slice(0, removed));
    const phases = async () => (await store.statuses(gone.map(({ id }) => id))).map(({ status }) => status);
    await until('the removals are decided upon', BRAKED_LIMIT_MS, async () =>
      (await phases()).every(({ observedRevision, next, phase }) => {
        const isBraked = next.some((step) => JSON.stringify(step).includes('Braked'));
        return observedRevision === 2 && (isBraked || phase === 'Deleting' || phase === 'Gone');
      }),
    );
    // Whoever lets one more go does it by now.
    await sleep(sized(size, 3_000, 30_000));
    const left = (await cellsOf(api, store.storeId)).size;
    const braked = (await phases()).filter(({ conditions }) => conditions.some((c) => c.reason === 'Braked')).length;
    const editMs = await timeEdit(store, names[all - 1] ?? '', 'app:2');

    const job = names[all - 2] ?? '';
    const namespace = cellNamespace(store.storeId, { tenant: TENANT, name: job });
    const path = objectPath({ kind: 'Service', namespace, name: job });
    await untilRunning(
      store,
      await applyAll(
        store,
        [job],
        specOf('app:1', { container: { image: 'app:1', ports: [{ name: 'http', port: 80 }] } }),
      ),
      RUN_LIMIT_MS,
    );
    const { metadata } = (await api.call('GET', path)) as { metadata: { uid: string } };
    await hands.call('DELETE', path);
    const repair = await until('what was deleted by hand is back', 6 * REPAIR_LIMIT_MS, async () => {
      try {
        return (
          ((await api.call('GET', path)) as typeof metadata & { metadata: { uid: string } }).metadata.uid !==
          metadata.uid
        );
      } catch {
        // Not there yet.
        return false;
      }
    });
    await store.releaseBrake({ ...ORIGIN, reason: 'they are meant' });
    const released = await until('the rest is let go', RELEASED_LIMIT_MS, async () => {
      return (await cellsOf(api, store.storeId)).size === all - removed;
    });
    await hands.close();
    return judge(
      [
        { what: `${all - left} cells went`, held: all - left === budget },
        { what: `${braked} removals say Braked`, held: braked === removed - budget },
        { what: `a repair took ${seconds(repair.elapsedMs)}`, held: repair.elapsedMs <= REPAIR_LIMIT_MS },
      ],
      {
        figure: `${removed} of ${all} removed: ${all - left} went, ${braked} wait; edit ${seconds(editMs)}, repair ${seconds(repair.elapsedMs)}; released: the rest went in ${seconds(released.elapsedMs)}`,
        limit: `max(3, 5 %) = ${budget} go`,
        detail: {
          all,
          removed,
          budget,
          went: all - left,
          braked,
          editMs,
          repairMs: repair.elapsedMs,
          releasedMs: released.elapsedMs,
        },
      },
    );
  },
};
