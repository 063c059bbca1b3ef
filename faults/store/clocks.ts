import { setTimeout as sleep } from 'node:timers/promises';
import { ApiProxy } from '../../test/support/api-proxy.ts';
import { type ClockFault, wrongClock } from '../../test/support/faketime.ts';
import { sql, testDatabase } from '../../test/support/postgres.ts';
import { applyAll, numbered, onePerShard, specOf, untilRunning, untilServed } from '../jobs.ts';
import { ownerships, startReplicas, untilTakenOver } from '../replicas.ts';
import { judge, type Scenario, seconds, sized } from '../scenario.ts';

const CLOCKS: readonly (readonly [name: string, fault: ClockFault])[] = [
  ['an-hour-ahead', { kind: 'offset', hours: 1 }],
  ['an-hour-behind', { kind: 'offset', hours: -1 }],
  ['double-rate', { kind: 'rate', factor: 2 }],
  ['half-rate', { kind: 'rate', factor: 0.5 }],
];
const RUN_LIMIT_MS = 60_000;
const TAKEOVER_LIMIT_MS = 10_000;
const LOOK_EVERY_MS = 200;
/** Between looking at the lease, the kill, and the look that finds it taken. */
const TOLERANCE_MS = 250;

/** What is left of a process's lease, by the database's clock. */
async function leaseLeft(superuserUrl: string, pid: number): Promise<number> {
  const [row] = await sql<{ left: number }>(
    superuserUrl,
    `select extract(epoch from expires_at - clock_timestamp())::float8 * 1000 as left
     from bulkhead.replica where name like '%-' || $1 || '-%'`,
    [pid],
  );
  return row?.left ?? Number.NaN;
}

export const clocks: Scenario = {
  row: '18',
  name: 'clocks',
  what: 'replicas whose clocks are an hour ahead, an hour behind, twice and half as fast: no shard changes hands early, and a crash is noticed by the database’s clock',
  run: async ({ size, stage }) => {
    // In plain HTTP, since the cluster's certificates are younger than the hour by which a clock is behind.
    await using proxy = await ApiProxy.to(await stage.cluster());
    const kubeconfig = await proxy.kubeconfig();
    await using database = await testDatabase();
    const { store, url, superuserUrl } = database;
    const options = await Promise.all(
      CLOCKS.map(async ([name, fault]) => ({ name, databaseUrl: url, kubeconfig, env: await wrongClock(fault) })),
    );
    const replicas = await startReplicas(superuserUrl, options);
    await using stack = new AsyncDisposableStack();
    for (const replica of replicas) stack.use(replica);
    const jobs = await applyAll(store, numbered(sized(size, 12, 60)), specOf('app:1'));
    await untilRunning(store, jobs, RUN_LIMIT_MS);

    const settled = await ownerships(superuserUrl);
    const quietMs = sized(size, 6_000, 120_000);
    let early = 0;
    for (const endAt = performance.now() + quietMs; performance.now() < endAt; await sleep(LOOK_EVERY_MS)) {
      const now = await ownerships(superuserUrl);
      early = Math.max(early, now.filter(({ n, pid }, i) => n !== settled[i]?.n || pid !== settled[i]?.pid).length);
    }

    const takeovers: {
      readonly name: string;
      readonly ms: number;
      readonly leftMs: number;
      readonly servedMs: number;
    }[] = [];
    for (const victim of sized(size, replicas.slice(0, 1), replicas.slice(0, 3))) {
      const shards = (await ownerships(superuserUrl)).filter(({ pid }) => pid === victim.pid).map(({ shard }) => shard);
      const killedAt = performance.now();
      const [leftMs] = [await leaseLeft(superuserUrl, victim.pid), victim.signal('SIGKILL')];
      const ms = (await untilTakenOver(superuserUrl, shards, victim.pid, 3 * TAKEOVER_LIMIT_MS)) - killedAt;
      const lost = onePerShard(jobs).filter(({ shard }) => shards.includes(shard));
      const edited = await applyAll(
        store,
        lost.map(({ name }) => name),
        specOf(`app:${victim.name}`),
      );
      const servedMs = await untilServed(store, edited, RUN_LIMIT_MS);
      takeovers.push({ name: victim.name, ms, leftMs, servedMs });
    }
    const slowest = Math.max(...takeovers.map(({ ms }) => ms));
    const tooEarly = takeovers.filter(({ ms, leftMs }) => ms < leftMs - TOLERANCE_MS);
    return judge(
      [
        { what: `${early} shards changed hands while all were alive`, held: early === 0 },
        { what: `taken over before the lease ended: ${JSON.stringify(tooEarly)}`, held: tooEarly.length === 0 },
        { what: `taken over after ${seconds(slowest)}`, held: slowest <= TAKEOVER_LIMIT_MS },
      ],
      {
        figure: `${replicas.length} clocks, ${seconds(quietMs)}: ${early} early takeovers; after a kill taken over in ${seconds(slowest)} at the most, never before the lease’s end`,
        limit: '0 early; 10 s',
        detail: { quietMs, early, takeovers },
      },
    );
  },
};
