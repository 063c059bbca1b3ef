import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Goal } from '../../../src/job/goal.ts';
import { clusterId } from '../../../src/job/ids.ts';
import type { JobStatus } from '../../../src/job/status.ts';
import { FakeCluster } from '../../../src/ports/cluster.fake.ts';
import { ClusterError, type ClusterErrorKind } from '../../../src/ports/cluster.ts';
import { type ReconcileResult, reconcile } from '../../../src/reconcile/reconciler.ts';
import { change, renderGoal, runningCell } from '../../support/cells.ts';
import { goalOf, STORE, tombstoneOf } from '../../support/goals.ts';

const CLUSTER = clusterId('00000000-0000-4000-8000-0000000000cc');
const goal = goalOf();

const turn = (
  of: Goal,
  cell: FakeCluster,
  previous: JobStatus | null = null,
  mayWrite = () => true,
): Promise<ReconcileResult> =>
  reconcile({ storeId: STORE, clusterId: CLUSTER, goal: of, previous, cell, mayWrite, now: () => 1_000 });

const reason = (result: ReconcileResult) => result.status.conditions[0]?.reason;

test('one turn makes the whole cell, says what it did, and then waits for the workers', async () => {
  const cell = new FakeCluster();
  const result = await turn(goal, cell);
  assert.equal(cell.writes, renderGoal(goal).length);
  assert.deepEqual([...new Set(result.events.map((e) => e.reason))], ['Created', 'WorkersStarting']);
  assert.equal(result.next.kind, 'at');
});

test('a converged job costs nothing: no write, no event, no changed status', async () => {
  const cell = runningCell(goal);
  const first = await turn(goal, cell);
  const second = await turn(goal, cell, first.status);
  assert.deepEqual([cell.writes, second.events, second.changed, second.next], [0, [], false, { kind: 'idle' }]);
});

/** A watch that has not told of anything yet: objects show only after a live read. */
class LateWatch extends FakeCluster {
  #told = false;

  override observe(namespace: string) {
    return this.#told ? super.observe(namespace) : new FakeCluster().observe(namespace);
  }

  override recordRead(): undefined {
    this.#told = true;
    return undefined;
  }
}

test('an object that is there already though the watch did not tell is looked at, and adopted if it is ours', async () => {
  const cell = new LateWatch();
  const [namespace] = renderGoal(goal);
  assert.ok(namespace);
  const { uid } = cell.put(namespace).metadata;
  const result = await turn(goal, cell);
  const kept = [...cell.objects.values()].find((o) => o.kind === 'Namespace');
  assert.deepEqual([cell.objects.size, kept?.metadata.uid], [renderGoal(goal).length, uid]);
  assert.equal(reason(result), 'WorkersStarting');
});

test('an object of somebody else under our name is a condition, and nothing is made behind it', async () => {
  const cell = new LateWatch();
  const [namespace] = renderGoal(goal);
  assert.ok(namespace);
  cell.put({ ...namespace, metadata: { ...namespace.metadata, labels: { theirs: 'yes' } } });
  const result = await turn(goal, cell);
  assert.equal(reason(result), 'ForeignObject');
  assert.equal(cell.objects.size, 1);
});

const FAILURES: readonly (readonly [ClusterErrorKind, string, boolean])[] = [
  ['invalid', 'ObjectRefused', false],
  ['forbidden', 'Forbidden', false],
  ['terminating', 'NamespaceTerminating', false],
  ['throttled', 'Throttled', false],
  ['unavailable', 'ClusterUnavailable', true],
  ['unauthorized', 'Unauthorized', true],
];

for (const [kind, expected, isConnection] of FAILURES) {
  test(`a call that fails as ${kind} becomes the condition ${expected} and a retry of this job`, async () => {
    const cell = new FakeCluster();
    cell.failNext(new ClusterError(kind, 'no'));
    const result = await turn(goal, cell);
    assert.deepEqual(
      [reason(result), result.next.kind, result.connectionError !== null],
      [expected, 'retry', isConnection],
    );
    assert.equal(cell.writes, 1, 'after a failure no further write of the plan is tried');
  });
}

test('a fault that passes by itself is no stall: it needs nobody, and ready workers stay ready', async () => {
  const cell = runningCell(goal);
  change(cell, 'PodDisruptionBudget', (o) => ({ ...o, spec: {} }));
  cell.failNext(new ClusterError('unavailable', 'no answer'));
  const { conditions } = (await turn(goal, cell)).status;
  assert.deepEqual(
    conditions.map((c) => `${c.type}=${c.status}`),
    ['Ready=True', 'Reconciling=True'],
  );
});

test("a 429's Retry-After is kept", async () => {
  const cell = new FakeCluster();
  cell.failNext(new ClusterError('throttled', 'slow down', { retryAfterMs: 7_000 }));
  assert.deepEqual((await turn(goal, cell)).next, { kind: 'retry', afterMs: 7_000 });
});

test('who does not own the work any more writes nothing', async () => {
  const cell = new FakeCluster();
  await turn(goal, cell, null, () => false);
  assert.equal(cell.writes, 0);
});

test('ownership lost in the middle stops before the next write', async () => {
  const cell = new FakeCluster();
  let allowed = 3;
  await turn(goal, cell, null, () => allowed-- > 0);
  assert.equal(cell.writes, 3);
});

test('a tombstone deletes once, waits while Kubernetes works, and ends as gone', async () => {
  const cell = runningCell(goal);
  const first = await turn(tombstoneOf(goal), cell);
  assert.deepEqual([cell.writes, first.status.phase], [1, 'Deleting']);
  const second = await turn(tombstoneOf(goal), cell, first.status);
  assert.equal(cell.writes, 1);
  cell.finishTerminations();
  const third = await turn(tombstoneOf(goal), cell, second.status);
  assert.deepEqual([third.status.phase, third.next], ['Gone', { kind: 'idle' }]);
});

test('an event is written when Ready flips or changes its reason, and only then', async () => {
  const cell = runningCell(goal);
  const first = await turn(goal, cell);
  assert.deepEqual(
    first.events.map((e) => e.reason),
    ['WorkersReady'],
  );
  change(cell, 'Deployment', (o) => ({ ...o, status: {} }));
  const second = await turn(goal, cell, first.status);
  assert.deepEqual(
    second.events.map((e) => e.reason),
    ['WorkersStarting'],
  );
  assert.deepEqual((await turn(goal, cell, second.status)).events, []);
});
