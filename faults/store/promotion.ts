import { setTimeout as sleep } from 'node:timers/promises';
import type { Epoch } from '../../src/job/epoch.ts';
import { StoreError } from '../../src/ports/store.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openStore, type Store } from '../../src/store/open.ts';
import type { ControlPlaneCluster } from '../../test/cluster/index.ts';
import { ApiProxy } from '../../test/support/api-proxy.ts';
import { sql } from '../../test/support/postgres.ts';
import { OperatorProcess } from '../../test/support/processes.ts';
import { type PostgresPair, postgresPair } from '../../test/support/standby.ts';
import { until } from '../../test/support/until.ts';
import { disturbed, watchDeletions, workersOf } from '../cells.ts';
import { applyAll, numbered, specOf, untilRunning, untilServed, type WrittenJob } from '../jobs.ts';
import { startReplicas } from '../replicas.ts';
import { judge, type Scenario, seconds, sized } from '../scenario.ts';

const CONVERGED_LIMIT_MS = 30_000;
const RUN_LIMIT_MS = 60_000;
const SAID_LIMIT_MS = 15_000;

/** Writes new jobs one by one. @returns those that were answered as done; the others were refused or not answered */
async function answered(store: Store, names: readonly string[]): Promise<WrittenJob[]> {
  const tries = names.map(async (name) => {
    try {
      return await applyAll(store, [name], specOf('app:1'));
    } catch (error) {
      if (error instanceof StoreError) return [];
      throw error;
    }
  });
  return (await Promise.all(tries)).flat();
}

/** Those of `jobs` that a store does not have as they were acknowledged. */
async function lostIn(store: Store, jobs: readonly WrittenJob[]): Promise<number> {
  const goals = new Map((await store.goals(jobs.map(({ id }) => id))).map((goal) => [goal.job.id, goal.revision]));
  return jobs.filter(({ id, revision }) => (goals.get(id) ?? 0) < revision).length;
}

interface OldWorld {
  readonly landed: number;
  readonly refused: number;
  readonly said: boolean;
}

/**
 * A replica that only knows the old primary, which by now answers commits again without its standby: it owns every
 * shard there, and must do nothing to the cluster.
 */
async function replicaOnOld(pair: PostgresPair, cluster: ControlPlaneCluster, tryMs: number): Promise<OldWorld> {
  await sql(pair.primary.superuserUrl, `alter system set synchronous_standby_names = ''`);
  await sql(pair.primary.superuserUrl, 'select pg_reload_conf()');
  await using proxy = await ApiProxy.to(cluster);
  await using replica = OperatorProcess.start({
    name: 'on-old',
    databaseUrl: pair.primary.url,
    kubeconfig: await proxy.kubeconfig(),
  });
  await replica.untilSaid('watching the cluster', RUN_LIMIT_MS);
  const old = await openStore({ url: pair.primary.url, applicationName: 'faults on old' });
  await applyAll(old, numbered(3), specOf('app:of-the-past'));
  await applyAll(old, numbered(3, 'new-in-the-past'), specOf('app:of-the-past'));
  const said = await until('it says that it is not ready', SAID_LIMIT_MS, async () => {
    return (await replica.health()).readyz === 503;
  }).then(
    () => true,
    () => false,
  );
  await sleep(tryMs);
  await old.close();
  // What is only asked or tried changes nothing.
  const writes = proxy.writes.filter(({ path }) => !/dryRun=All|\/authorization\.k8s\.io\//.test(path));
  const landed = writes.filter(({ status }) => status !== null && status < 300);
  return { landed: landed.length, refused: writes.length - landed.length, said };
}

/** Timeline and number of shard 0: what the fence compares. */
async function epochIn(superuserUrl: string): Promise<Epoch> {
  const [row] = await sql<{ system: string; timeline: number; n: string }>(
    superuserUrl,
    'select bulkhead.system_identifier() system, bulkhead.timeline() timeline, epoch n from bulkhead.shard where id = 0',
  );
  return { system: row?.system ?? '', timeline: row?.timeline ?? 0, n: Number(row?.n ?? 0) };
}

export const promotion: Scenario = {
  row: '4',
  name: 'promotion',
  what: 'a synchronous standby is promoted while the old primary lives: no acknowledged goal is lost, the old one lands nothing, the new one converges within 30 s',
  run: async ({ size, stage }) => {
    const cluster = await stage.cluster();
    const api = await stage.api();
    await using pair = await postgresPair('promotion');
    await migrate(pair.primary.adminUrl, { appRole: pair.primary.appRole });
    const store = await openStore({ url: pair.url, applicationName: 'faults' });
    const options = numbered(2, 'promotion').map((name) => ({
      name,
      databaseUrl: pair.url,
      kubeconfig: cluster.kubeconfigPath,
    }));
    const replicas = await startReplicas(pair.primary.superuserUrl, options);
    await using stack = new AsyncDisposableStack();
    for (const replica of replicas) stack.use(replica);
    const names = numbered(sized(size, 10, 60));
    const running = await applyAll(store, names, specOf('app:1'));
    await untilRunning(store, running, RUN_LIMIT_MS);
    const before = await workersOf(api, store.storeId);
    const acknowledged = await applyAll(store, names.slice(0, names.length / 2), specOf('app:2'));
    const onlyOld = await openStore({ url: pair.primary.url, applicationName: 'faults on old' });
    const deletions = await watchDeletions(cluster, api, store.storeId);

    await pair.promote();
    const promotedAt = performance.now();
    pair.switchOver();
    const stayed = answered(store, numbered(3, 'late'));
    const direct = answered(onlyOld, numbered(3, 'direct'));
    const fresh = await openStore({ url: pair.url, applicationName: 'faults after' });
    const edited = await applyAll(fresh, names, specOf('app:3'));
    await untilServed(fresh, edited, 2 * CONVERGED_LIMIT_MS);
    const convergedMs = performance.now() - promotedAt;
    await untilRunning(fresh, edited, RUN_LIMIT_MS);
    const [late, answeredByOld] = [await stayed, (await direct).length];
    const lost = await lostIn(fresh, [...running.slice(names.length / 2), ...acknowledged, ...late]);
    await Promise.all([store.close(), onlyOld.close()]);

    const [oldEpoch, newEpoch] = [await epochIn(pair.primary.superuserUrl), await epochIn(pair.standby.superuserUrl)];
    const past = await replicaOnOld(pair, cluster, sized(size, 6_000, 30_000));
    const after = await workersOf(api, fresh.storeId);
    const deleted = await deletions.since();
    await fresh.close();
    return judge(
      [
        { what: `${lost} acknowledged goals are lost`, held: lost === 0 },
        { what: `converged after ${seconds(convergedMs)}`, held: convergedMs <= CONVERGED_LIMIT_MS },
        { what: `the old primary answered ${answeredByOld} writes as done`, held: answeredByOld === 0 },
        {
          what: `${past.landed} writes of a replica on the old primary landed in the cluster`,
          held: past.landed === 0,
        },
        { what: 'the replica on the old primary says it is ready', held: past.said },
        { what: 'the new epoch is not of a later timeline', held: newEpoch.timeline > oldEpoch.timeline },
        { what: `deleted: ${deleted.slice(0, 3).join(' ')}`, held: deleted.length === 0 },
      ],
      {
        figure:
          `converged after ${seconds(convergedMs)}; ${lost} acknowledged goals lost; on the old one 0 of 3 writes answered, ${past.landed} landed in the cluster`.replace(
            '0 of 3',
            `${answeredByOld} of 3`,
          ),
        limit: '30 s, 0 lost, 0 landed',
        detail: {
          convergedMs: Math.round(convergedMs),
          jobs: names.length,
          lost,
          answeredLate: late.length,
          answeredByOld,
          landedFromOld: past.landed,
          refusedFromOld: past.refused,
          timelines: [oldEpoch.timeline, newEpoch.timeline],
          workersReplacedByEdits: disturbed(before, after),
        },
      },
    );
  },
};
