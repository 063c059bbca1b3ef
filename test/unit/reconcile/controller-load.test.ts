import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTick, setTimeout as sleep } from 'node:timers/promises';
import { CALL_TIMEOUT_MS } from '../../../src/cluster/transport.ts';
import { WriteGate } from '../../../src/cluster/write-gate.ts';
import { clusterId, type JobId, jobId, SHARD_COUNT, type Shard, shard } from '../../../src/job/ids.ts';
import type { ClusterAction } from '../../../src/plan/actions.ts';
import { LABELS, type ObservedObject } from '../../../src/plan/objects.ts';
import { FakeCluster } from '../../../src/ports/cluster.fake.ts';
import { type CellAddress, ClusterError } from '../../../src/ports/cluster.ts';
import type { Fence } from '../../../src/ports/shards.ts';
import { FakeStore } from '../../../src/ports/store.fake.ts';
import { CONCURRENCY, Controller } from '../../../src/reconcile/controller.ts';
import { GoalFeed } from '../../../src/reconcile/goal-feed.ts';
import type { CellView } from '../../../src/reconcile/reconciler.ts';
import { FENCE_A, goalOf, MINIMAL, STORE } from '../../support/goals.ts';
import { MemoryLog } from '../../support/log.ts';
import { until } from '../../support/until.ts';

const SHARDS: readonly Shard[] = Array.from({ length: SHARD_COUNT }, (_, i) => shard(i));
const idOf = (n: number): JobId => jobId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`);
const jobs = (count: number) =>
  Array.from({ length: count }, (_, n) => goalOf(MINIMAL, { id: idOf(n), name: `job-${n}` }));

/** A fake cluster for each job, so that a look at one of thousands costs no more than at a single one. */
class ManyCells implements CellView {
  readonly executor = this;
  readonly #cells = new Map<JobId, FakeCluster>();
  /** What becomes of a job's writes before they reach its cell. */
  fault: (id: JobId) => Promise<void> = () => nextTick();
  calls = 0;

  observe(address: CellAddress) {
    return this.of(address.id).observe(address);
  }

  async execute(action: ClusterAction, fence: Fence): Promise<ObservedObject | null> {
    if (action.do === 'delete') throw new Error('nothing is deleted here');
    this.calls += 1;
    const id = jobId(action.object.metadata.labels?.[LABELS.jobId] ?? '');
    await this.fault(id);
    return this.of(id).execute(action, fence);
  }

  async read(): Promise<null> {
    return null;
  }

  expectWrite(): Disposable {
    return { [Symbol.dispose]: () => undefined };
  }

  recordWrite(stored: ObservedObject, goalHash: string): void {
    this.of(jobId(stored.metadata.labels?.[LABELS.jobId] ?? '')).recordWrite(stored, goalHash);
  }

  recordRead(): undefined {
    return undefined;
  }

  recordAbsence(): undefined {
    return undefined;
  }

  of(id: JobId): FakeCluster {
    const cell = this.#cells.get(id) ?? new FakeCluster();
    this.#cells.set(id, cell);
    return cell;
  }
}

function worldOf(count: number, concurrency?: number) {
  const store = new FakeStore(STORE, jobs(count));
  const cell = new ManyCells();
  const controller = new Controller({
    storeId: STORE,
    feed: new GoalFeed(store, {
      onChanged: () => undefined,
      onPlatform: async () => undefined,
      onEverything: async () => undefined,
    }),
    store,
    log: new MemoryLog(),
    fence: (owned) => ({ ...FENCE_A, shard: owned }),
    onFenced: () => undefined,
    onRefused: () => undefined,
    onStoreTrouble: () => undefined,
    onUnauthorized: () => undefined,
    ...(concurrency !== undefined && { concurrency }),
  });
  const cluster = { clusterId: clusterId('00000000-0000-4000-8000-0000000000cc'), cell, jobsSeen: () => [] };
  const edit = (id: JobId): void => {
    const { job } = store.goalsById.get(id) ?? goalOf();
    store.goalsById.set(id, goalOf({ ...MINIMAL, workers: { replicas: 3 } }, { ...job, revision: 2 }));
    controller.wake(id);
  };
  const isServed = (id: JobId): boolean => store.statusesById.get(id)?.observedRevision === 2;
  return { store, cell, controller, cluster, edit, isServed };
}

type World = ReturnType<typeof worldOf>;

/** How many other jobs were served by the time that the last of these edits was. */
async function servedBefore({ store, isServed }: World, edited: readonly JobId[]): Promise<number> {
  await until('the edits are served', 30_000, () => edited.every(isServed));
  const last = store.records.findLastIndex(({ status }) => status?.observedRevision === 2);
  const ids = store.records.slice(0, last).map(({ status }) => status?.jobId);
  return new Set(ids.filter((id) => id !== undefined && !edited.includes(id))).size;
}

/** Those in hand already, one turn of six for a backlog that has waited long, and what that comes to for 85 edits. */
const FEW = CONCURRENCY + 85 / 5 + 1;

test('85 edits among a backlog of 2,000 are served next, not after it', async () => {
  const world = worldOf(2_000);
  await world.controller.activate(world.cluster, SHARDS);
  const edited = Array.from({ length: 85 }, (_, i) => idOf(1_999 - i * 20));
  for (const id of edited) world.edit(id);
  const before = await servedBefore(world, edited);
  assert.ok(before <= FEW, `${before} jobs of the backlog went before`);
  world.controller.deactivate();
  await world.controller.drained();
});

test('edits that came while their owner was dead are the first that the next one serves', async () => {
  const world = worldOf(2_000);
  const edited = Array.from({ length: 85 }, (_, i) => idOf(1_999 - i * 20));
  for (const id of edited) world.edit(id);
  await world.controller.activate(world.cluster, SHARDS);
  const before = await servedBefore(world, edited);
  assert.ok(before <= FEW, `${before} jobs of the backlog went before`);
  world.controller.deactivate();
  await world.controller.drained();
});

test('1,000 jobs fail at once: each tries ever more seldom, and a healthy edit is served within 5 s', async () => {
  const world = worldOf(1_001);
  const healthy = idOf(1_000);
  world.cell.fault = async (id) => {
    await nextTick();
    if (id !== healthy) throw new ClusterError('invalid', 'refused');
  };
  const startedAt = performance.now();
  await world.controller.activate(world.cluster, SHARDS);
  await until('each has failed once', 20_000, () => world.store.statusesById.size >= 1_000);
  world.edit(healthy);
  const { elapsedMs } = await until('the healthy edit is served', 5_000, () => world.isServed(healthy));
  await sleep(1_000);
  // The first try, and then at the soonest after 0.2, 0.4, 0.8 … s.
  const tries = 1 + Math.log2((performance.now() - startedAt) / 200 + 1);
  const { calls } = world.cell;
  assert.ok(calls <= 1_000 * tries + 50, `${calls} calls, ${tries} tries for each, the edit ${elapsedMs} ms`);
  world.controller.deactivate();
  await world.controller.drained();
});

test('1,000 jobs whose calls hang: no more calls than workers, and a healthy edit is served within 5 s', async () => {
  const world = worldOf(1_001);
  const healthy = idOf(1_000);
  const end = Promise.withResolvers<void>();
  world.cell.fault = (id) => (id === healthy ? nextTick() : end.promise);
  await world.controller.activate(world.cluster, SHARDS);
  await until('calls hang', 5_000, () => world.cell.calls > 0);
  await sleep(50);
  assert.ok(world.cell.calls < CONCURRENCY, 'some places are kept for edits');
  world.edit(healthy);
  await until('the healthy edit is served', 5_000, () => world.isServed(healthy));
  world.controller.deactivate();
  end.resolve();
  await world.controller.drained();
});

for (const hanging of [38, 50]) {
  test(`${hanging} edits whose calls hang, all at once and before a healthy one: it is served within 5 s`, async () => {
    const world = worldOf(100);
    const { cell } = world;
    await world.controller.activate(world.cluster, SHARDS);
    await until('all cells are made', 5_000, () => world.store.statusesById.size === 100);
    // As the transport has it: so many writes at once, and each ends by its time-out.
    const gate = new WriteGate();
    const end = new AbortController();
    const hung = new Set(Array.from({ length: hanging }, (_, n) => idOf(n)));
    cell.fault = async (id) => {
      const pass = gate.enterNow(id) ?? (await gate.enter(id, 'PUT', CALL_TIMEOUT_MS / 2, undefined));
      if (hung.has(id)) await sleep(CALL_TIMEOUT_MS, null, { signal: end.signal }).catch(() => null);
      else await nextTick();
      gate.leave(pass, hung.has(id) ? 'lost' : 'done');
      if (hung.has(id)) throw new ClusterError('unavailable', 'no answer in time');
    };
    try {
      for (const id of hung) world.edit(id);
      const healthy = idOf(99);
      world.edit(healthy);
      await until('the healthy edit is served', 5_000, () => world.isServed(healthy));
    } finally {
      world.controller.deactivate();
      end.abort();
    }
    await world.controller.drained();
  });
}

test('as many turns at the same time as it is told', async () => {
  const world = worldOf(100, 48);
  const end = Promise.withResolvers<void>();
  world.cell.fault = () => end.promise;
  for (let n = 0; n < 100; n += 1) world.edit(idOf(n));
  await world.controller.activate(world.cluster, SHARDS);
  await until('all places are taken', 5_000, () => world.cell.calls === 48);
  assert.equal(world.controller.load.workingMs.length, 48);
  world.controller.deactivate();
  end.resolve();
  await world.controller.drained();
});
