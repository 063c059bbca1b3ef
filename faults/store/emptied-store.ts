import { setTimeout as sleep } from 'node:timers/promises';
import { sql, testDatabase } from '../../test/support/postgres.ts';
import { OperatorProcess } from '../../test/support/processes.ts';
import { cellsOf, disturbed, watchDeletions, workersOf } from '../cells.ts';
import { applyAll, numbered, specOf, untilRunning } from '../jobs.ts';
import { startReplicas, untilEven } from '../replicas.ts';
import { judge, type Scenario, sized } from '../scenario.ts';

const RUN_LIMIT_MS = 60_000;

/** As somebody with all rights does who means another database: past every trigger, in one transaction. */
const EMPTY = [
  'begin',
  'set local session_replication_role = replica',
  ...['observation', 'goal_head', 'removal', 'event', 'goal_revision', 'job'].map((t) => `delete from bulkhead.${t}`),
  'commit',
].join('; ');

export const emptiedStore: Scenario = {
  row: '6',
  name: 'emptied-store',
  what: 'the store is emptied behind its back: neither the operator that sees it nor one that starts on it deletes anything',
  run: async ({ size, stage }) => {
    const cluster = await stage.cluster();
    const api = await stage.api();
    await using database = await testDatabase();
    const { store, url, superuserUrl } = database;
    const options = { name: 'emptied', databaseUrl: url, kubeconfig: cluster.kubeconfigPath };
    const [first] = await startReplicas(superuserUrl, [options]);
    if (!first) throw new Error('no replica was started');
    await using running = first;
    const jobs = await applyAll(store, numbered(sized(size, 8, 60)), specOf('app:1'));
    await untilRunning(store, jobs, RUN_LIMIT_MS);
    const [workers, cells] = [await workersOf(api, store.storeId), await cellsOf(api, store.storeId)];
    const deletions = await watchDeletions(cluster, api, store.storeId);
    const lookMs = sized(size, 4_000, 60_000);
    await sql(superuserUrl, EMPTY);
    await sleep(lookMs);
    await running.stop();
    await using second = OperatorProcess.start({ ...options, name: 'on empty' });
    await second.untilSaid('watching the cluster', RUN_LIMIT_MS);
    await untilEven(superuserUrl, [second]);
    await sleep(lookMs);
    const deleted = await deletions.since();
    const left = (await cellsOf(api, store.storeId)).size;
    const touched = disturbed(workers, await workersOf(api, store.storeId));
    const reported = second.lines.filter(({ msg }) => msg.includes('without a goal')).length;
    return judge(
      [
        { what: `deleted: ${deleted.slice(0, 3).join(' ')}`, held: deleted.length === 0 },
        { what: `${cells.size - left} cells are gone`, held: left === cells.size },
        { what: `${touched} workers were replaced or restarted`, held: touched === 0 },
        { what: 'cells without a goal are not reported', held: reported > 0 },
      ],
      {
        figure: `${cells.size} cells, ${deleted.length} deletes, ${touched} workers touched, ${reported} orphans reported`,
        limit: '0 deletes without a tombstone',
        detail: { cells: cells.size, left, deletes: deleted.length, touched, reported },
      },
    );
  },
};
