import { setTimeout as sleep } from 'node:timers/promises';
import type { Transport } from '../../src/cluster/transport.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import type { Store } from '../../src/store/open.ts';
import type { ApiWrite } from '../../test/support/api-proxy.ts';
import type { OperatorProcess } from '../../test/support/processes.ts';
import { until } from '../../test/support/until.ts';
import { cellsOf } from '../cells.ts';
import type { Fleet } from '../fleet.ts';
import { applyAll, numbered, removeAll, specOf, TENANT, untilRunning, type WrittenJob } from '../jobs.ts';
import { ownerships, untilEven } from '../replicas.ts';
import { judge, type Scenario, seconds } from '../scenario.ts';
import { fencesOf, type Probe, probeCluster, probeStore } from '../stale-probe.ts';
import { isCellWrite, kindOf, StaleReplica, stampOf, type WriteKind } from '../stale-replica.ts';

const HELD_LIMIT_MS = 30_000;
const ANSWER_LIMIT_MS = 30_000;
const SERVED_LIMIT_MS = 60_000;
/** What a continued process may still try on its own. */
const TRY_MS = 3_000;
const EDITS = 4;
const DELETES = 2;
const RECORDS = 4;
const PROBES = 20;
/** About one of three falls to a given replica. */
const NEW_JOBS = 12;

interface Work {
  readonly edited: readonly WrittenJob[];
  readonly removed: readonly WrittenJob[];
}

const cellOf = (store: Store, name: string): string => cellNamespace(store.storeId, { tenant: TENANT, name });

/**
 * Makes the replica begin creates, updates, deletes and records, and holds each on its way: updates of some jobs, the
 * records of others, DELETEs that were marked in time, and everything of new jobs.
 */
async function beginWork({ database }: Fleet, stale: StaleReplica, mine: readonly WrittenJob[]): Promise<Work> {
  const { store } = database;
  const names = mine.map(({ name }) => name);
  const updates = names.slice(0, EDITS);
  const removals = names.slice(EDITS, EDITS + DELETES);
  const records = names.slice(EDITS + DELETES, EDITS + DELETES + RECORDS);
  const fresh = numbered(NEW_JOBS, `late-${process.pid}`);
  const heldCells = [...updates, ...fresh].map((name) => cellOf(store, name));
  const isOf = ({ path, body }: ApiWrite, cells: readonly string[]): boolean => {
    const name = (body as { metadata?: { name?: string } } | null)?.metadata?.name ?? '';
    return cells.some((cell) => path.includes(`/namespaces/${cell}`) || name === cell);
  };
  stale.hold((write) => write.method === 'DELETE' || isOf(write, heldCells));
  const edited = await applyAll(store, [...updates, ...records, ...fresh], specOf(`app:${process.pid}`));
  const removed = await removeAll(store, removals);
  const has = (kind: string) => stale.held.writes.some((write) => kindOf(write) === kind);
  await until('the replica has begun a create, an update, a delete and a record', HELD_LIMIT_MS, () => {
    return has('create') && has('update') && has('delete') && stale.held.sql.length > 0;
  });
  return { edited, removed };
}

interface Story {
  readonly shards: number;
  /** Of jobs whose removal was taken back in time. */
  readonly lostCells: number;
  readonly confirmedMs: number;
  readonly healedMs: number;
  readonly attempts: readonly ApiWrite[];
  readonly later: number;
  readonly landed: readonly ApiWrite[];
  readonly records: number;
  readonly stored: number;
  readonly inCluster: Probe;
  readonly inStore: Probe;
}

/** Stops `victim` in the middle of its work until others have taken it over, and lets it and its writes go on. */
async function stopAndContinue(
  fleet: Fleet,
  api: Transport,
  stale: StaleReplica,
  victim: OperatorProcess,
): Promise<Story> {
  const { store, superuserUrl } = fleet.database;
  const others = fleet.replicas.filter((replica) => replica !== victim);
  const fences = await fencesOf(superuserUrl, victim.pid);
  const owned = new Set(fences.map(({ shard }) => shard));
  const mine = fleet.jobs.filter(({ shard }) => owned.has(shard));
  const work = await beginWork(fleet, stale, mine);

  victim.signal('SIGSTOP');
  const stoppedAt = performance.now();
  // Wanted again before anybody else has looked: a DELETE that is still on its way is wrong from now on.
  const restored = await applyAll(
    store,
    work.removed.map(({ name }) => name),
    specOf('app:1'),
  );
  const cells = await cellsOf(api, store.storeId);
  await untilEven(superuserUrl, others);
  const confirmedAt = performance.now();
  const current = new Map((await ownerships(superuserUrl)).map(({ shard, n }) => [shard, n]));
  const untouched = mine.slice(EDITS + DELETES + RECORDS).slice(0, PROBES);
  const inCluster = await probeCluster(api, store, fences, untouched);
  const inStore = await probeStore(store, fences, untouched);

  // What it sends from now on may be under a new epoch, since it is a replica like any other again.
  const held = { writes: [...stale.held.writes], sql: [...stale.held.sql] };
  victim.signal('SIGCONT');
  await sleep(TRY_MS);
  stale.release();
  await until('everything that was held is answered', ANSWER_LIMIT_MS, () => {
    return held.writes.every(({ status }) => status !== null) && held.sql.every(({ stored }) => stored !== null);
  });
  await sleep(TRY_MS);
  // Whatever it sent, held or not, under an epoch that was over when it arrived: what was on its way when it was stopped
  // arrives at once, under an epoch that was still good.
  const isStale = (write: ApiWrite): boolean => {
    const stamp = stampOf(write);
    return stamp !== null && write.atMs > confirmedAt && stamp.n < (current.get(stamp.shard) ?? 0);
  };
  const later = stale.api.writes.filter(
    (write) => isCellWrite(write) && isStale(write) && !held.writes.includes(write),
  );
  const attempts = [...held.writes, ...later];
  const landed = attempts.filter(({ status }) => (status ?? 0) < 300);
  const stored = held.sql.filter((write) => write.stored === true);

  const healedMs = await untilEven(superuserUrl, fleet.replicas);
  await untilRunning(store, [...work.edited, ...restored], SERVED_LIMIT_MS);
  const cellsNow = await cellsOf(api, store.storeId);
  return {
    shards: owned.size,
    lostCells: restored.filter(({ id }) => cellsNow.get(id) !== cells.get(id)).length,
    confirmedMs: confirmedAt - stoppedAt,
    healedMs,
    attempts,
    later: later.length,
    landed,
    records: held.sql.length,
    stored: stored.length,
    inCluster,
    inStore,
  };
}

export const stoppedOwner: Scenario = {
  row: '19',
  name: 'stopped-owner',
  what: 'an owner is stopped in the middle of its work past its lease, and continued: once the new fence is confirmed none of its stale writes lands, in Postgres or in Kubernetes',
  alone: true,
  run: async ({ stage }) => {
    const [fleet, cluster, api] = [await stage.fleet(), await stage.cluster(), await stage.api()];
    const { database } = fleet;
    await using stale = await StaleReplica.on(cluster, database.url);
    const [leaving] = fleet.replicas;
    if (!leaving) throw new Error('the fleet is empty');
    await leaving.stop();
    const victim = await fleet.replace(leaving, {
      databaseUrl: stale.wire.urlFor(database.url),
      kubeconfig: await stale.api.kubeconfig(),
    });
    let story: Story;
    try {
      story = await stopAndContinue(fleet, api, stale, victim);
    } finally {
      // The fleet is others' too, whatever has become of this replica.
      await victim.kill();
      await fleet.replace(victim);
    }
    const { attempts, landed, stored, inCluster, inStore } = story;
    const by = (kind: WriteKind) => attempts.filter((write) => kindOf(write) === kind).length;
    return judge(
      [
        {
          what: `landed: ${landed
            .slice(0, 3)
            .map((w) => `${w.method} ${w.path}`)
            .join('; ')}`,
          held: landed.length === 0,
        },
        { what: `${stored} stale records were stored`, held: stored === 0 },
        {
          what: `probes of the cluster landed: ${inCluster.landed.slice(0, 3).join('; ')}`,
          held: inCluster.landed.length === 0,
        },
        {
          what: `probes of the store landed: ${inStore.landed.slice(0, 3).join('; ')}`,
          held: inStore.landed.length === 0,
        },
        { what: `${story.lostCells} cells that were wanted again are gone`, held: story.lostCells === 0 },
        { what: 'no probe was made', held: inCluster.attempts > 0 && inStore.attempts > 0 },
      ],
      {
        figure: `fence confirmed after ${seconds(story.confirmedMs)}; its own ${by('create')} creates, ${by('update')} updates, ${by('delete')} deletes and ${story.records} records arrived late: ${landed.length + stored} landed; ${inCluster.attempts + inStore.attempts} probes: ${inCluster.landed.length + inStore.landed.length} landed`,
        limit: '0 landed',
        detail: {
          jobs: fleet.jobs.length,
          shards: story.shards,
          confirmedMs: story.confirmedMs,
          healedMs: story.healedMs,
          creates: by('create'),
          updates: by('update'),
          marks: by('mark'),
          deletes: by('delete'),
          records: story.records,
          triedAfterwards: story.later,
          refused: attempts.length - landed.length,
          landed: landed.map(({ method, path, status }) => ({ method, path, status })),
          stored,
          probes: { cluster: inCluster.attempts, store: inStore.attempts },
        },
      },
    );
  },
};
