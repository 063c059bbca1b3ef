import { setTimeout as sleep } from 'node:timers/promises';
import { objectPath } from '../../src/cluster/paths.ts';
import type { Transport } from '../../src/cluster/transport.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import type { CellKind } from '../../src/plan/objects.ts';
import type { Store } from '../../src/store/open.ts';
import { ApiProxy, type ApiWrite } from '../../test/support/api-proxy.ts';
import { breakGlass } from '../../test/support/break-glass.ts';
import { sql, testDatabase } from '../../test/support/postgres.ts';
import { OperatorProcess } from '../../test/support/processes.ts';
import { until } from '../../test/support/until.ts';
import { applyAll, removeAll, specOf, TENANT, untilRunning } from '../jobs.ts';
import { startReplicas, untilEven } from '../replicas.ts';
import { judge, type Scenario, sized } from '../scenario.ts';
import { isCellWrite } from '../stale-replica.ts';

const RUN_LIMIT_MS = 60_000;
const KEPT = 'kept';
const AGAIN = 'again';

const pathIn = (store: Store, kind: CellKind, job: string): string => {
  const cell = cellNamespace(store.storeId, { tenant: TENANT, name: job });
  return objectPath(kind === 'Namespace' ? { kind, namespace: '', name: cell } : { kind, namespace: cell, name: job });
};

/** UID of an object; null where there is none. */
async function uidOf(api: Transport, path: string): Promise<string | null> {
  try {
    return ((await api.call('GET', path)) as { metadata: { uid: string } }).metadata.uid;
  } catch {
    // It is not there, or not any more.
    return null;
  }
}

interface Removal {
  readonly path: string;
  /** Which object it insists on; null: whatever has the name. */
  readonly uid: string | null;
  readonly landed: boolean;
}

interface Body {
  readonly preconditions?: { readonly uid?: string };
  readonly metadata?: { readonly uid?: string };
}

/** DELETEs, and the marks that come before them, among these writes. */
function removalsOf(writes: readonly ApiWrite[], method: 'DELETE' | 'PATCH'): Removal[] {
  return writes
    .filter((write) => write.method === method && isCellWrite(write))
    .map(({ path, body, status }) => {
      const { preconditions, metadata } = (body ?? {}) as Body;
      return { path, uid: (preconditions ?? metadata)?.uid ?? null, landed: status !== null && status < 300 };
    });
}

const createsOf = (writes: readonly ApiWrite[], resource: string): number =>
  writes.filter(({ method, path, status }) => method === 'POST' && status === 201 && path.includes(`/${resource}?`))
    .length;

export const staleView: Scenario = {
  row: '17',
  name: 'stale-view',
  what: 'an operator starts on a server that answers as it did long ago, and another never hears what happened in between: nothing that was made again since is deleted',
  run: async ({ size, stage }) => {
    const cluster = await stage.cluster();
    const api = await stage.api();
    const hands = await breakGlass(cluster);
    await using database = await testDatabase();
    const { store, url, adminUrl, superuserUrl } = database;
    await using proxy = await ApiProxy.to(cluster);
    const options = { name: 'stale', databaseUrl: url, kubeconfig: await proxy.kubeconfig() };
    // A removed job's name is free at once, so that the same cell is made again for another job.
    await sql(adminUrl, `update bulkhead.store set undelete_retention = '0'`);

    // The world at T0: both cells are there. Afterwards one of them goes and comes again as another job's.
    const [first] = await startReplicas(superuserUrl, [options]);
    await using _first = first;
    const jobs = await applyAll(store, [KEPT, AGAIN], specOf('app:1'));
    await untilRunning(store, jobs, RUN_LIMIT_MS);
    await proxy.photograph();
    const cell = pathIn(store, 'Namespace', AGAIN);
    const oldUid = await uidOf(api, cell);
    await removeAll(store, [AGAIN]);
    await until('the old cell is gone', RUN_LIMIT_MS, async () => (await uidOf(api, cell)) !== oldUid);
    const [again] = await applyAll(store, [AGAIN], specOf('app:2'));
    if (!again) throw new Error('no job was written');
    await untilRunning(store, [again], RUN_LIMIT_MS);
    const newUid = await uidOf(api, cell);
    await first?.kill();
    // Observations are disposable: without them the removal has to be looked at again.
    await sql(superuserUrl, 'delete from bulkhead.observation');

    // Stale state: the old list, silent watches, and writes that go through.
    const staleFrom = proxy.writes.length;
    proxy.goStale();
    await using second = OperatorProcess.start(options);
    await second.untilSaid('watching the cluster', RUN_LIMIT_MS);
    await untilEven(superuserUrl, [second]);
    await sleep(sized(size, 4_000, 20_000));
    const fromStale = proxy.writes.slice(staleFrom);
    const tried = [...removalsOf(fromStale, 'PATCH'), ...removalsOf(fromStale, 'DELETE')].filter(
      ({ uid }) => uid === oldUid,
    );
    proxy.thaw('deliver');
    const [kept] = await applyAll(store, [KEPT], specOf('app:2'));
    await untilRunning(store, [again, ...(kept ? [kept] : [])], RUN_LIMIT_MS);
    const survived = (await uidOf(api, cell)) === newUid;

    // Unobserved state: a Deployment goes while the watches are held, and what they held is never heard.
    const deployment = pathIn(store, 'Deployment', KEPT);
    const unobservedFrom = proxy.writes.length;
    proxy.holdWatches();
    const goneUid = await uidOf(api, deployment);
    await hands.call('DELETE', deployment);
    await until('the Deployment is gone', RUN_LIMIT_MS, async () => (await uidOf(api, deployment)) !== goneUid);
    const [edited] = await applyAll(store, [KEPT], specOf('app:3'));
    await until('it is made again', RUN_LIMIT_MS, () => uidOf(api, deployment));
    const madeUid = await uidOf(api, deployment);
    await sleep(sized(size, 1_000, 20_000));
    proxy.thaw('discard');
    await untilRunning(store, edited ? [edited] : [], RUN_LIMIT_MS);
    const created = createsOf(proxy.writes.slice(unobservedFrom), 'deployments');
    const untouched = (await uidOf(api, deployment)) === madeUid;
    await hands.close();

    const deletes = removalsOf(proxy.writes, 'DELETE');
    const unsafe = deletes.filter(({ uid }) => uid === null).length;
    const wrong = removalsOf(fromStale, 'DELETE').filter(({ landed }) => landed).length + (survived ? 0 : 1);
    return judge(
      [
        { what: `${unsafe} DELETEs insist on no UID`, held: unsafe === 0 },
        { what: `${wrong} deletes hit what was made again`, held: wrong === 0 },
        { what: 'the cell that was made again is gone', held: survived },
        { what: `the Deployment was made ${created} times`, held: created === 1 && untouched },
        { what: 'nothing was tried from the stale view, so nothing was shown', held: tried.length > 0 },
      ],
      {
        figure: `${deletes.length} DELETEs, all by UID; ${tried.length} tries from the stale view, ${wrong} wrong; unobserved: made once`,
        limit: '0 wrong deletes',
        detail: { deletes: deletes.length, unsafe, tried: tried.length, wrong, created },
      },
    );
  },
};
