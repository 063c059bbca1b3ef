import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type JobId, replicaId } from '../../src/job/ids.ts';
import { StoreError } from '../../src/ports/store.ts';
import { openStore } from '../../src/store/open.ts';
import { testDatabase } from '../../test/support/postgres.ts';
import { until } from '../../test/support/until.ts';
import { applyAll, numbered, specOf, untilRunning, untilServed } from '../jobs.ts';
import { holdLocks } from '../locks.ts';
import { ownerships, startReplicas } from '../replicas.ts';
import { judge, type Scenario, seconds, sized } from '../scenario.ts';

const RUN_LIMIT_MS = 60_000;
/** 5 s for a connection; the rest is this machine's. */
const WAIT_LIMIT_MS = 7_000;
const OWN_CONNECTION_LIMIT_MS = 2_000;
const TTL_MS = 5_000;
/** What every turn that did something writes, and no write of a goal reads. */
const ALL_EVENTS = 'lock table bulkhead.event in access exclusive mode';

/** One store whose two connections are both taken. */
async function oneStore() {
  await using database = await testDatabase();
  const store = await openStore({ url: database.url, applicationName: 'exhausted', maxConnections: 2 });
  const heard: JobId[] = [];
  const abort = new AbortController();
  const ignore = () => undefined;
  let ready = false;
  const onReady = () => {
    ready = true;
  };
  const handlers = { onJob: (id: JobId) => void heard.push(id), onOther: ignore, onReady, onLost: ignore };
  const listening = store.listen(handlers, abort.signal);
  await until('it listens', RUN_LIMIT_MS, () => ready);
  const lock = await holdLocks(database.superuserUrl, [ALL_EVENTS]);
  const stuck = [store.events({ limit: 1 }), store.events({ limit: 1 })].map((call) => call.catch(ignore));
  await sleep(100);
  const time = async (work: Promise<unknown>): Promise<{ ms: number; error: unknown }> => {
    const startedAt = performance.now();
    const error = await work.then(() => null).catch((e: unknown) => e);
    return { ms: performance.now() - startedAt, error };
  };
  const self = { id: replicaId(randomUUID()), name: 'exhausted-0-x', clusterId: null };
  const [third, beat, hint] = await Promise.all([
    time(store.heads()),
    time(store.heartbeat(self, TTL_MS)),
    time(
      (async () => {
        const [job] = await applyAll(database.store, ['hinted'], specOf('app:1'));
        await until('the hint is heard', RUN_LIMIT_MS, () => heard.includes(job?.id as JobId));
      })(),
    ),
  ]);
  await lock.release();
  await Promise.all(stuck);
  abort.abort();
  await listening;
  await store.close();
  return { third, beat, hint };
}

/** A replica, all of whose connections wait for longer than its lease lasts. */
async function oneReplica(size: 'sampled' | 'full', kubeconfig: string) {
  await using database = await testDatabase();
  const { store, url, superuserUrl } = database;
  const [replica] = await startReplicas(superuserUrl, [{ name: 'exhausted', databaseUrl: url, kubeconfig }]);
  await using _replica = replica;
  const names = numbered(20);
  await untilRunning(store, await applyAll(store, names, specOf('app:1')), RUN_LIMIT_MS);
  const before = await ownerships(superuserUrl);
  const lock = await holdLocks(superuserUrl, [ALL_EVENTS]);
  const edited = await applyAll(store, names, specOf('app:2'));
  await sleep(sized(size, 7_000, 60_000));
  const after = await ownerships(superuserUrl);
  await lock.release();
  const servedMs = await untilServed(store, edited, RUN_LIMIT_MS);
  return { lost: after.filter(({ n, pid }, i) => n !== before[i]?.n || pid !== before[i]?.pid).length, servedMs };
}

export const poolExhausted: Scenario = {
  row: '8',
  name: 'pool-exhausted',
  what: 'all connections of the pool wait: a further call gives up in time, while the lease and LISTEN go on over their own',
  run: async ({ size, stage }) => {
    const { kubeconfigPath } = await stage.cluster();
    const { third, beat, hint } = await oneStore();
    const { lost, servedMs } = await oneReplica(size, kubeconfigPath);
    const unavailable = third.error instanceof StoreError && third.error.kind === 'unavailable';
    return judge(
      [
        { what: `a further call waited ${seconds(third.ms)}`, held: third.ms <= WAIT_LIMIT_MS },
        { what: `a further call ended with ${String(third.error)}`, held: unavailable },
        {
          what: `a heartbeat took ${seconds(beat.ms)}: ${beat.error}`,
          held: beat.error === null && beat.ms <= OWN_CONNECTION_LIMIT_MS,
        },
        {
          what: `a hint took ${seconds(hint.ms)}: ${hint.error}`,
          held: hint.error === null && hint.ms <= OWN_CONNECTION_LIMIT_MS,
        },
        { what: `${lost} shards were lost`, held: lost === 0 },
      ],
      {
        figure: `gave up after ${seconds(third.ms)}; heartbeat ${Math.round(beat.ms)} ms, hint ${Math.round(hint.ms)} ms; a replica lost ${lost} shards, and served ${seconds(servedMs)} after the end`,
        limit: 'bounded wait, own connections for lease and LISTEN',
        detail: { waitMs: third.ms, heartbeatMs: beat.ms, hintMs: hint.ms, shardsLost: lost, servedMs },
      },
    );
  },
};
