import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterId } from '../../../src/job/ids.ts';
import type { ClusterAction } from '../../../src/plan/actions.ts';
import type { ObservedObject } from '../../../src/plan/objects.ts';
import { FakeCluster } from '../../../src/ports/cluster.fake.ts';
import { ClusterError } from '../../../src/ports/cluster.ts';
import { FAKE_FENCE, FakeStore } from '../../../src/ports/store.fake.ts';
import { StoreError } from '../../../src/ports/store.ts';
import { Controller } from '../../../src/reconcile/controller.ts';
import { GoalFeed } from '../../../src/reconcile/goal-feed.ts';
import { renderGoal, runningCell } from '../../support/cells.ts';
import { goalOf, JOB_A, JOB_B, STORE } from '../../support/goals.ts';
import { MemoryLog } from '../../support/log.ts';
import { until } from '../../support/until.ts';

const CLUSTER = clusterId('00000000-0000-4000-8000-0000000000cc');
const goal = goalOf();

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

  override async execute(action: ClusterAction): Promise<ObservedObject | null> {
    this.#asked.resolve();
    await this.#gate.promise;
    return super.execute(action);
  }
}

function controllerOn(store: FakeStore) {
  const troubles: unknown[] = [];
  let controller: Controller | null = null;
  const goals = new GoalFeed(store, (id) => controller?.wake(id));
  controller = new Controller({
    storeId: STORE,
    goals,
    statuses: store,
    log: new MemoryLog(),
    fence: () => FAKE_FENCE,
    onFenced: () => troubles.push('fenced'),
    onStoreTrouble: (error) => troubles.push(error),
    onUnauthorized: (error) => troubles.push(error),
  });
  return { controller, troubles };
}

test('stopping finishes the action in hand, records it, and begins no other', async () => {
  const store = new FakeStore(STORE, [goal]);
  const cell = new SlowCluster();
  const { controller } = controllerOn(store);
  await controller.activate({ clusterId: CLUSTER, cell });
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
  await controller.activate({ clusterId: CLUSTER, cell });
  await cell.asked;
  controller.deactivate();
  cell.release();
  await controller.drained();
  assert.deepEqual(store.records, []);
});

test('a start that took long does not undo a stop that came in between', async () => {
  const store = new FakeStore(STORE, [goal]);
  const cell = new FakeCluster();
  let answer: () => void = () => undefined;
  store.delay = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const { controller } = controllerOn(store);
  const activation = controller.activate({ clusterId: CLUSTER, cell });
  await new Promise((resolve) => setTimeout(resolve, 10));
  controller.deactivate();
  answer();
  assert.equal(await activation, false);
  controller.wake(JOB_A);
  await controller.drained();
  assert.equal(cell.writes, 0);
});

test('what could not be recorded is recorded with the next turn: the audit trail has no gap', async () => {
  const store = new FakeStore(STORE, [goal]);
  store.failNext(new StoreError('unavailable', 'away'));
  const cell = new FakeCluster();
  const { controller, troubles } = controllerOn(store);
  await controller.activate({ clusterId: CLUSTER, cell });
  await until('the turn is recorded', 2_000, () => store.records.length > 0);
  const created = store.records.flatMap((r) => r.events).filter((e) => e.reason === 'Created');
  assert.equal(created.length, renderGoal(goal).length);
  assert.equal(troubles.length, 1);
  controller.deactivate();
});

test('one job that fails and one that is well: the failure is that job’s alone', async () => {
  const bad = goalOf(undefined, { id: JOB_B, name: 'bad' });
  const store = new FakeStore(STORE, [goal, bad]);
  const cell = runningCell(goal);
  const { controller } = controllerOn(store);
  cell.failNext(new ClusterError('invalid', 'refused'));
  await controller.activate({ clusterId: CLUSTER, cell });
  await until('both are recorded', 2_000, () => store.statusesById.size === 2);
  assert.equal(store.statusesById.get(JOB_A)?.phase, 'Running');
  assert.equal(store.statusesById.get(JOB_B)?.conditions[0]?.reason, 'ObjectRefused');
  controller.deactivate();
});
