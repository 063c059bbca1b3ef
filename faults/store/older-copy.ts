import { setTimeout as sleep } from 'node:timers/promises';
import { KubernetesFence } from '../../src/cluster/epoch-fence.ts';
import { openStore } from '../../src/store/open.ts';
import { ApiProxy } from '../../test/support/api-proxy.ts';
import { sql, testDatabase } from '../../test/support/postgres.ts';
import { OperatorProcess } from '../../test/support/processes.ts';
import { cellsOf, watchDeletions } from '../cells.ts';
import { applyAll, numbered, ORIGIN, removeAll, specOf, untilRunning, untilServed } from '../jobs.ts';
import { startReplicas } from '../replicas.ts';
import { judge, type Scenario, sized } from '../scenario.ts';

const RUN_LIMIT_MS = 60_000;
const SERVED_LIMIT_MS = 30_000;

/** Puts a copy in the place of a database, as a restore from a backup does. */
async function restore(superuserUrl: string, name: string, copy: string): Promise<void> {
  const admin = new URL(superuserUrl);
  admin.pathname = '/postgres';
  await sql(admin.href, `drop database ${name} with (force)`);
  await sql(admin.href, `alter database ${copy} rename to ${name}`);
}

async function copyOf(superuserUrl: string, name: string): Promise<string> {
  const admin = new URL(superuserUrl);
  admin.pathname = '/postgres';
  const copy = `${name}_copy`;
  await sql(admin.href, 'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name]);
  await sql(admin.href, `create database ${copy} owner bulkhead template ${name}`);
  return copy;
}

export const olderCopy: Scenario = {
  row: '6',
  name: 'older-copy',
  what: 'an older copy of the store takes its place: nothing is deleted or downgraded until a person confirms, then the work goes on',
  run: async ({ size, stage }) => {
    const cluster = await stage.cluster();
    const api = await stage.api();
    await using database = await testDatabase();
    const { store, url, superuserUrl } = database;
    const name = new URL(url).pathname.slice(1);
    await using proxy = await ApiProxy.to(cluster);
    const options = { name: 'before', databaseUrl: url, kubeconfig: await proxy.kubeconfig() };
    const names = numbered(sized(size, 6, 30));
    const removedLater = numbered(2, 'kept-by-the-copy-only');

    const [first] = await startReplicas(superuserUrl, [options]);
    await untilRunning(store, await applyAll(store, [...names, ...removedLater], specOf('app:1')), RUN_LIMIT_MS);
    await first?.stop();
    const copy = await copyOf(superuserUrl, name);
    // What the copy does not know: newer goals, new jobs, removals, and newer epochs.
    const [second] = await startReplicas(superuserUrl, [options]);
    const newer = [
      ...(await applyAll(store, names, specOf('app:2'))),
      ...(await applyAll(store, numbered(3, 'unknown-to-the-copy'), specOf('app:1'))),
    ];
    await removeAll(store, removedLater);
    await untilRunning(store, newer, RUN_LIMIT_MS);
    const cells = await cellsOf(api, store.storeId);
    await second?.kill();
    await restore(superuserUrl, name, copy);

    const deletions = watchDeletions(cluster);
    const from = proxy.writes.length;
    await using third = OperatorProcess.start({ ...options, name: 'after' });
    await third.untilSaid('watching the cluster', RUN_LIMIT_MS);
    await sleep(sized(size, 8_000, 60_000));
    const written = proxy.writes
      .slice(from)
      .filter(({ path, status }) => !path.includes('dryRun') && (status ?? 0) < 300);
    const { readyz } = await third.health();
    const restored = await openStore({ url, applicationName: 'faults after the restore' });
    await using _closed = { [Symbol.asyncDispose]: () => restored.close() };
    const deletedBefore = (await deletions.since()).length;
    const cellsNow = await cellsOf(api, store.storeId);
    const left = [...cells].filter(([id, uid]) => cellsNow.get(id) === uid).length;

    const fences = await new KubernetesFence(api, store.storeId).read();
    await restored.confirmFence({ fences }, { ...ORIGIN, reason: 'the copy is what we have' });
    const again = await applyAll(restored, names, specOf('app:3'));
    const servedMs = await untilServed(restored, again, SERVED_LIMIT_MS);
    await untilRunning(restored, again, RUN_LIMIT_MS);
    const deleted = await deletions.since();
    return judge(
      [
        {
          what: `written before the confirmation: ${written
            .slice(0, 3)
            .map((w) => w.path)
            .join(' ')}`,
          held: written.length === 0,
        },
        { what: `${deletedBefore} deletes before the confirmation`, held: deletedBefore === 0 },
        { what: `${cells.size - left} cells are gone`, held: left === cells.size },
        { what: 'it says that it is ready', held: readyz === 503 },
        { what: `deleted: ${deleted.slice(0, 3).join(' ')}`, held: deleted.length === 0 },
      ],
      {
        figure: `${cells.size} cells: ${written.length} writes and ${deletedBefore} deletes before the confirmation; ${again.length} jobs served ${Math.round(servedMs)} ms after it`,
        limit: '0 writes before it',
        detail: { cells: cells.size, written: written.length, deletedBefore, deleted: deleted.length, servedMs },
      },
    );
  },
};
