import { setTimeout as sleep } from 'node:timers/promises';
import { KubernetesFence } from '../../src/cluster/epoch-fence.ts';
import { openStore } from '../../src/store/open.ts';
import { ApiProxy } from '../../test/support/api-proxy.ts';
import { sql, testDatabase } from '../../test/support/postgres.ts';
import { OperatorProcess } from '../../test/support/processes.ts';
import { until } from '../../test/support/until.ts';
import { cellsOf, watchDeletions } from '../cells.ts';
import { applyAll, numbered, ORIGIN, removeAll, specOf, untilRunning, untilServed } from '../jobs.ts';
import { startReplicas } from '../replicas.ts';
import { judge, type Outcome, type Run, type Scenario, seconds, sized } from '../scenario.ts';
import { isCellWrite } from '../stale-replica.ts';

const RUN_LIMIT_MS = 60_000;
const SERVED_LIMIT_MS = 30_000;

/** Puts a copy in the place of a database, as a restore from a backup does. */
async function restore(superuserUrl: string, name: string, copy: string): Promise<void> {
  const admin = new URL(superuserUrl);
  admin.pathname = '/postgres';
  await sql(admin.href, `drop database ${name} with (force)`);
  await sql(admin.href, `alter database ${copy} rename to ${name}`);
}

/** A database is copied while nobody is connected to it, and those who are sent away come again at once. */
async function copyOf(superuserUrl: string, name: string): Promise<string> {
  const admin = new URL(superuserUrl);
  admin.pathname = '/postgres';
  const copy = `${name}_copy`;
  await sql(admin.href, `alter database ${name} allow_connections false`);
  try {
    await sql(admin.href, 'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name]);
    await sql(admin.href, `create database ${copy} owner bulkhead template ${name}`);
  } finally {
    await sql(admin.href, `alter database ${name} allow_connections true`);
  }
  return copy;
}

/**
 * How often the shards change hands between the copy and its return: what the fence tells a copy by. One from after the
 * last change of owners cannot be told from the store itself, as the README says.
 */
const OWNERS_SINCE = 2;

async function comeBack({ size, stage }: Run): Promise<Outcome> {
  const cluster = await stage.cluster();
  const api = await stage.api();
  await using database = await testDatabase();
  const { store, url, superuserUrl } = database;
  const name = new URL(url).pathname.slice(1);
  await using proxy = await ApiProxy.to(cluster);
  const options = { name: 'before', databaseUrl: url, kubeconfig: await proxy.kubeconfig() };
  const names = numbered(sized(size, 5, 30));
  const removedSince = numbered(2, 'removed-since');
  const [undeletedSince] = numbered(1, 'undeleted-since');

  // The copy knows old goals, two jobs that are removed later, and a removal that is taken back later.
  let [owner] = await startReplicas(superuserUrl, [options]);
  await using _owner = { [Symbol.asyncDispose]: async () => owner?.kill() };
  const known = [...names, ...removedSince, ...(undeletedSince ? [undeletedSince] : [])];
  await untilRunning(store, await applyAll(store, known, specOf('app:1')), RUN_LIMIT_MS);
  const [removed] = await removeAll(store, undeletedSince ? [undeletedSince] : []);
  await until(
    'the removed cell is gone',
    RUN_LIMIT_MS,
    async () => !(await cellsOf(api, store.storeId)).has(String(removed?.id)),
  );
  const copy = await copyOf(superuserUrl, name);
  for (let i = 0; i < OWNERS_SINCE; i += 1) {
    await owner?.stop();
    [owner] = await startReplicas(superuserUrl, [options]);
  }
  const newer = [
    ...(await applyAll(store, [...names, ...(undeletedSince ? [undeletedSince] : [])], specOf('app:2'))),
    ...(await applyAll(store, numbered(2, 'unknown-to-the-copy'), specOf('app:1'))),
  ];
  await removeAll(store, removedSince);
  await untilRunning(store, newer, RUN_LIMIT_MS);
  await until(
    'removed cells are gone',
    RUN_LIMIT_MS,
    async () => (await cellsOf(api, store.storeId)).size === newer.length,
  );
  const cells = await cellsOf(api, store.storeId);
  await owner?.kill();
  await restore(superuserUrl, name, copy);

  const deletions = await watchDeletions(cluster, api, store.storeId);
  const from = proxy.writes.length;
  await using after = OperatorProcess.start({ ...options, name: 'after' });
  await after.untilSaid('watching the cluster', RUN_LIMIT_MS);
  await sleep(sized(size, 4_000, 60_000));
  const written = proxy.writes.slice(from).filter((write) => isCellWrite(write) && (write.status ?? 0) < 300);
  const { readyz } = await after.health();
  const deletedBefore = (await deletions.since()).length;
  const cellsNow = await cellsOf(api, store.storeId);
  const lost = [...cells].filter(([id, uid]) => cellsNow.get(id) !== uid).length;

  const restored = await openStore({ url, applicationName: 'faults after the restore' });
  await using _closed = { [Symbol.asyncDispose]: () => restored.close() };
  const fences = await new KubernetesFence(api, store.storeId).read();
  await restored.confirmFence({ fences }, { ...ORIGIN, reason: 'the copy is what we have' });
  const again = await applyAll(restored, names, specOf('app:3'));
  const servedMs = await untilServed(restored, again, SERVED_LIMIT_MS);
  await untilRunning(restored, again, RUN_LIMIT_MS);
  return judge(
    [
      {
        what: `${written.length} writes before the confirmation, the first ${written[0]?.path}`,
        held: written.length === 0,
      },
      { what: `${deletedBefore} deletes before the confirmation`, held: deletedBefore === 0 },
      { what: `${lost} cells are gone`, held: lost === 0 },
      { what: 'it says that it is ready', held: readyz === 503 },
    ],
    {
      figure: `${cells.size} cells: ${written.length} writes and ${deletedBefore} deletes before the confirmation; ${again.length} jobs served ${seconds(servedMs)} after it`,
      limit: '0 writes before it',
      detail: { cells: cells.size, written: written.length, lost, deletedBefore, servedMs },
    },
  );
}

export const olderCopy: Scenario = {
  row: '6',
  name: 'older-copy',
  what: 'an older copy of the store takes its place: nothing is deleted or downgraded until a person confirms, then the work goes on',
  run: comeBack,
};
