import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterId, type JobId, shardOf } from '../../../src/job/ids.ts';
import type { ClusterAction } from '../../../src/plan/actions.ts';
import type { ObservedObject } from '../../../src/plan/objects.ts';
import { FakeCluster } from '../../../src/ports/cluster.fake.ts';
import { ClusterError } from '../../../src/ports/cluster.ts';
import type { Fence } from '../../../src/ports/shards.ts';
import { FakeStore } from '../../../src/ports/store.fake.ts';
import { StoreError } from '../../../src/ports/store.ts';
import { type ActiveCluster, Controller } from '../../../src/reconcile/controller.ts';
import { GoalFeed } from '../../../src/reconcile/goal-feed.ts';
import { renderGoal, runningCell } from '../../support/cells.ts';
import { FENCE_A, goalOf, JOB_A, JOB_B, STORE, tombstoneOf } from '../../support/goals.ts';
import { MemoryLog } from '../../support/log.ts';
import { until } from '../../support/until.ts';

const CLUSTER = clusterId('00000000-0000-4000-8000-0000000000cc');
const SHARD_A = shardOf(JOB_A);
const SHARD_B = shardOf(JOB_B);
const goal = goalOf();
const other = goalOf(undefined, { id: JOB_B, name: 'other' });

/** A cluster whose writes wait until they are let through. */
class SlowCluster extends FakeCluster {
  readonly #asked = Promise.withResolvers<void>();
  readonly #gate = Promise.withResolvers<void>();

  /** Resolves when a write is in hand. */
  get asked(): Promise<void> {
    return this.#asked.promise;
  }

  release(): void {
    this.#gate.resolve();
  }

  override async execute(action: ClusterAction, fence: Fence): Promise<ObservedObject | null> {
    this.#asked.resolve();
    await this.#gate.promise;
    return super.execute(action, fence);
  }
}

const active = (cell: FakeCluster, jobsSeen: readonly JobId[] = []): ActiveCluster => ({
  clusterId: CLUSTER,
  cell,
  jobsSeen: () => jobsSeen,
});

function controllerOn(store: FakeStore) {
  const troubles: unknown[] = [];
  const log = new MemoryLog();
  let controller: Controller | null = null;
  const feed = new GoalFeed(store, {
    onChanged: (id) => controller?.wake(id),
    onPlatform: async (tenant) => controller?.wakeTenant(tenant),
    onEverything: async () => controller?.wakeEverything(),
  });
  controller = new Controller({
    storeId: STORE,
    feed,
    store,
    log,
    fence: (shard) => ({ ...FENCE_A, shard }),
    onFenced: (fence) => troubles.push({ fenced: fence }),
    onRefused: (fence) => troubles.push({ refused: fence }),
    onStoreTrouble: (error) => troubles.push(error),
    onUnauthorized: (error) => troubles.push(error),
  });
  return { controller, feed, troubles, log };
}

test('stopping finishes the action in hand, records it, and begins no other', async () => {
  const store = new FakeStore(STORE, [goal]);
  const cell = new SlowCluster();
  const { controller } = controllerOn(store);
  await controller.activate(active(cell), [SHARD_A]);
  await cell.asked;
  controller.deactivate();
  cell.release();
  await controller.drained();
  assert.equal(cell.writes, 1, 'the one in hand, of the seven that were planned');
  assert.deepEqual(store.records.flatMap((r) => r.events.map((e) => e.reason)).slice(0, 1), ['Created']);
  assert.ok(!store.statusesById.get(JOB_A)?.conditions.some((c) => c.type === 'Stalled'));
});

test('what a connection that we closed ourselves says of a job is not stored', async () => {
  const store = new FakeStore(STORE, [goal]);
  const cell = new SlowCluster();
  cell.failNext(new ClusterError('unavailable', 'The client is destroyed'));
  const { controller } = controllerOn(store);
  await controller.activate(active(cell), [SHARD_A]);
  await cell.asked;
  controller.deactivate();
  cell.release();
  await controller.drained();
  assert.deepEqual(store.records, []);
});

test('a start that took long does not undo a stop that came in between', async () => {
  const store = new FakeStore(STORE, [goal]);
  const cell = new FakeCluster();
  const answer = Promise.withResolvers<void>();
  store.delay = answer.promise;
  const { controller } = controllerOn(store);
  const activation = controller.activate(active(cell), [SHARD_A]);
  controller.deactivate();
  answer.resolve();
  await activation;
  controller.wake(JOB_A);
  await controller.drained();
  assert.equal(cell.writes, 0);
});

test('it acts for the jobs of its shards alone, and for more of them as they come', async () => {
  const store = new FakeStore(STORE, [goal, other]);
  const cell = new FakeCluster();
  const { controller } = controllerOn(store);
  await controller.activate(active(cell), [SHARD_A]);
  controller.wake(JOB_B);
  await until('job A is recorded', 2_000, () => store.statusesById.has(JOB_A));
  assert.equal(store.statusesById.has(JOB_B), false);
  await controller.activate(active(cell), [SHARD_B]);
  await until('job B is recorded', 2_000, () => store.statusesById.has(JOB_B));
  controller.deactivate();
});

test('a shard that leaves takes its jobs’ turns along; the others go on', async () => {
  const store = new FakeStore(STORE, [goal, other]);
  const cell = new FakeCluster();
  const { controller } = controllerOn(store);
  await controller.activate(active(cell), [SHARD_A, SHARD_B]);
  await until('both are recorded', 2_000, () => store.statusesById.size === 2);
  controller.deactivate([SHARD_A]);
  await controller.drained([SHARD_A]);
  const before = store.records.length;
  store.statusesById.clear();
  controller.wake(JOB_A);
  controller.wake(JOB_B);
  await until('job B is recorded again', 2_000, () => store.records.length > before);
  assert.deepEqual([...store.statusesById.keys()], [JOB_B]);
  controller.deactivate();
});

test('a change of the platform wakes the jobs of that tenant', async () => {
  const store = new FakeStore(STORE, [goal, goalOf(undefined, { id: JOB_B, tenant: 'shop' })]);
  const { controller, feed } = controllerOn(store);
  await controller.activate(active(new FakeCluster()), [SHARD_A, SHARD_B]);
  await feed.poll();
  await until('both are recorded', 2_000, () => store.statusesById.size === 2);
  await controller.drained();
  store.statusesById.clear();
  await controller.wakeTenant('shop');
  await until('one is recorded', 2_000, () => store.statusesById.size > 0);
  assert.deepEqual([...store.statusesById.keys()], [JOB_B]);
  controller.deactivate();
});

test('a braked removal goes on as soon as the brake is released', async () => {
  const tombstone = tombstoneOf(goal);
  const store = new FakeStore(STORE, [tombstone]);
  store.verdict = { kind: 'braked', until: new Date(Date.now() + 60_000), budget: 3 };
  const cell = runningCell(goal);
  const { controller } = controllerOn(store);
  await controller.activate(active(cell), [SHARD_A]);
  await until('it waits', 2_000, () => store.statusesById.get(JOB_A)?.conditions[0]?.reason === 'Braked');
  assert.equal(cell.writes, 0);
  store.verdict = { kind: 'granted' };
  controller.wakeBraked();
  await until('it goes', 2_000, () => cell.writes === 1);
  assert.deepEqual(store.reserved[0], { id: JOB_A, revision: tombstone.revision });
  controller.deactivate();
});

test('a write that the fence refused is looked into; until then it is this job’s failure and no other’s', async () => {
  const store = new FakeStore(STORE, [goal]);
  const cell = new FakeCluster();
  cell.failNext(new ClusterError('fenced', 'stale epoch'));
  const { controller, troubles } = controllerOn(store);
  await controller.activate(active(cell), [SHARD_A]);
  await until('it is told of', 2_000, () => troubles.length > 0);
  assert.deepEqual(troubles, [{ refused: FENCE_A }]);
  assert.equal(store.statusesById.get(JOB_A)?.conditions[0]?.reason, 'ObjectRefused');
  controller.deactivate();
});

test('an epoch that the store refuses is the shard’s end', async () => {
  const store = new FakeStore(STORE, [goal]);
  store.failNext(new StoreError('fenced', 'another owner'));
  const { controller, troubles } = controllerOn(store);
  await controller.activate(active(new FakeCluster()), [SHARD_A]);
  await until('it is told of', 2_000, () => troubles.length > 0);
  assert.deepEqual(troubles, [{ fenced: FENCE_A }]);
  controller.deactivate();
});

test('a goal that one read misses is no orphan while the store knows the job: it is read again', async () => {
  const store = new FakeStore(STORE, [goal]);
  const read = store.goals.bind(store);
  let truncated = true;
  store.goals = async (ids) => {
    const found = truncated ? [] : await read(ids);
    truncated = false;
    return found;
  };
  const { controller, log } = controllerOn(store);
  await controller.activate(active(new FakeCluster()), [SHARD_A]);
  await until('it is recorded', 2_000, () => store.statusesById.has(JOB_A));
  assert.ok(!log.lines.some((line) => line.message.includes('without a goal')));
  controller.deactivate();
});

test('a cell whose job the store has never heard of is reported once and left alone', async () => {
  const cell = new FakeCluster();
  const { controller, log } = controllerOn(new FakeStore(STORE, []));
  await controller.activate(active(cell, [JOB_A]), [SHARD_A]);
  await until('it is reported', 2_000, () => log.lines.length > 0);
  assert.equal(cell.writes, 0);
  controller.deactivate();
});

test('what could not be recorded is recorded with the next turn: the audit trail has no gap', async () => {
  const store = new FakeStore(STORE, [goal]);
  store.failNext(new StoreError('unavailable', 'away'));
  const { controller, troubles } = controllerOn(store);
  await controller.activate(active(new FakeCluster()), [SHARD_A]);
  await until('the turn is recorded', 2_000, () => store.records.length > 0);
  const created = store.records.flatMap((r) => r.events).filter((e) => e.reason === 'Created');
  const kinds = renderGoal(goal).map(({ kind }) => kind);
  assert.deepEqual(
    created.map(({ message }) => kinds.filter((kind) => message.includes(`${kind} `))),
    [kinds],
    'one line for the cell, which names all of it',
  );
  assert.equal(troubles.length, 1);
  controller.deactivate();
});

test('one job that fails and one that is well: the failure is that job’s alone', async () => {
  const store = new FakeStore(STORE, [goal, other]);
  const cell = runningCell(goal);
  const { controller } = controllerOn(store);
  cell.failNext(new ClusterError('invalid', 'refused'));
  await controller.activate(active(cell), [SHARD_A, SHARD_B]);
  await until('both are recorded', 2_000, () => store.statusesById.size === 2);
  assert.equal(store.statusesById.get(JOB_A)?.phase, 'Running');
  assert.equal(store.statusesById.get(JOB_B)?.conditions[0]?.reason, 'ObjectRefused');
  controller.deactivate();
});
