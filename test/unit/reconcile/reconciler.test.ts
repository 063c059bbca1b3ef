import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Goal } from '../../../src/job/goal.ts';
import { clusterId } from '../../../src/job/ids.ts';
import type { JobStatus } from '../../../src/job/status.ts';
import { FakeCluster } from '../../../src/ports/cluster.fake.ts';
import { type CellAddress, ClusterError, type ClusterErrorKind } from '../../../src/ports/cluster.ts';
import type { Fence } from '../../../src/ports/shards.ts';
import type { BrakeVerdict } from '../../../src/ports/store.ts';
import { type ReconcileResult, reconcile } from '../../../src/reconcile/reconciler.ts';
import { change, renderGoal, runningCell } from '../../support/cells.ts';
import { FENCE_A, goalOf, STORE, tombstoneOf } from '../../support/goals.ts';

const CLUSTER = clusterId('00000000-0000-4000-8000-0000000000cc');
const NOW = 1_000;
const goal = goalOf();

const turn = (
  of: Goal,
  cell: FakeCluster,
  previous: JobStatus | null = null,
  options: {
    readonly fence?: () => Fence | null;
    readonly verdict?: BrakeVerdict;
  } = {},
): Promise<ReconcileResult> =>
  reconcile({
    storeId: STORE,
    clusterId: CLUSTER,
    goal: of,
    previous,
    cell,
    fence: options.fence ?? (() => FENCE_A),
    reserveRemoval: async () => options.verdict ?? { kind: 'granted' },
    keepers: [],
    now: () => NOW,
  });

const reason = (result: ReconcileResult) => result.status.conditions[0]?.reason;

test('one turn makes the whole cell, says what it did, and then waits for the workers, of which it will hear', async () => {
  const cell = new FakeCluster();
  const result = await turn(goal, cell);
  assert.equal(cell.writes, renderGoal(goal).length);
  assert.deepEqual([...new Set(result.events.map((e) => e.reason))], ['Created', 'WorkersStarting']);
  assert.deepEqual(result.next, { kind: 'idle' });
});

test('a converged job costs nothing: no write, no event, no changed status', async () => {
  const cell = runningCell(goal);
  const first = await turn(goal, cell);
  const second = await turn(goal, cell, first.status);
  assert.deepEqual([cell.writes, second.events, second.changed, second.next], [0, [], false, { kind: 'idle' }]);
});

test('an edit writes what it changes and no more: of another image, one object of the cell', async () => {
  const cell = runningCell(goal);
  const edited = goalOf({ container: { image: 'registry.example/app:2' } }, { revision: 2 });
  const { next } = await turn(edited, cell);
  assert.match(cell.calls.join(), /^replace Deployment[^,]*$/);
  assert.deepEqual(next, { kind: 'idle' }, 'it hears of the workers that start');
});

/** A watch that has not told of anything yet: objects show only after a live read. */
class LateWatch extends FakeCluster {
  #told = false;

  override observe(cell: CellAddress) {
    return this.#told ? super.observe(cell) : new FakeCluster().observe(cell);
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

/** Of writes that are made side by side: the workers', and behind them the quota's. */
const BESIDE = [
  { quota: 'conflict', workers: 'throttled', next: 7_000, refused: false, tries: 1 },
  { quota: 'throttled', workers: 'conflict', next: 7_000, refused: false, tries: 1 },
  { quota: 'throttled', workers: 'fenced', next: 7_000, refused: true, tries: 1 },
  { quota: 'conflict', workers: 'conflict', next: null, refused: false, tries: 2 },
] as const;

for (const { quota, workers, next, refused, tries } of BESIDE) {
  test(`of two writes side by side that fail as ${quota} and ${workers} the graver failure decides, and neither is lost`, async () => {
    const cell = runningCell(goal);
    const error = (kind: ClusterErrorKind) => new ClusterError(kind, 'no', next === null ? {} : { retryAfterMs: next });
    cell.failNext(error(workers), error(quota));
    const result = await turn(
      goalOf({ container: { image: 'app:1' }, workers: { replicas: 5 } }, { revision: 2 }),
      cell,
    );
    assert.deepEqual([next !== null, result.refused !== null], [result.failure !== null, refused]);
    if (next !== null) assert.deepEqual(result.next, { kind: 'retry', afterMs: next });
    for (const kind of ['ResourceQuota', 'Deployment']) {
      const sent = cell.calls.filter((call) => call.startsWith(`replace ${kind}/`));
      assert.equal(sent.length, tries, `${kind}: ${cell.calls.join(', ')}`);
    }
  });
}

test('who does not own the work any more writes nothing', async () => {
  const cell = new FakeCluster();
  await turn(goal, cell, null, { fence: () => null });
  assert.equal(cell.writes, 0);
});

const withMoreWorkers = (): FakeCluster => {
  const cell = runningCell(goal);
  change(cell, 'Deployment', (o) => ({ ...o, spec: { ...(o.spec as object), replicas: 9 } }));
  return cell;
};

test('a repair reads the object once and says which fields it puts right', async () => {
  const cell = withMoreWorkers();
  const result = await turn(goal, cell);
  assert.deepEqual(
    cell.calls.map((call) => call.split('/')[0]),
    ['read Deployment', 'replace Deployment'],
  );
  assert.equal(result.done[0]?.message, 'Deployment clicks: spec.replicas is 9, the goal says 1');
});

test('a repair whose object cannot be read is made all the same and says less', async () => {
  const cell = withMoreWorkers();
  cell.read = async () => {
    throw new ClusterError('throttled', 'slow down');
  };
  const result = await turn(goal, cell);
  assert.equal(cell.writes, 1);
  assert.equal(result.done[0]?.message, 'Deployment clicks: it is not as revision 1 says');
});

test('a new revision is written without a read: what is there is known well enough', async () => {
  const cell = runningCell(goal);
  await turn(goalOf({ container: { image: 'app:2' } }, { revision: 2 }), cell);
  assert.deepEqual(
    cell.calls.filter((call) => call.startsWith('read')),
    [],
  );
  assert.match(cell.calls[0] ?? '', /^replace Deployment/);
});

test('ownership lost in the middle stops before the next write', async () => {
  const cell = new FakeCluster();
  let allowed = 3;
  await turn(goal, cell, null, { fence: () => (allowed-- > 0 ? FENCE_A : null) });
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

const BRAKED: BrakeVerdict = { kind: 'braked', until: new Date(NOW + 5_000), budget: 3 };

test('a removal over the budget waits and says how to let it go: nothing is deleted, the workers run on', async () => {
  const cell = runningCell(goal);
  const result = await turn(tombstoneOf(goal), cell, null, { verdict: BRAKED });
  assert.equal(cell.writes, 0);
  assert.deepEqual([result.status.phase, reason(result), result.braked], ['Deleting', 'Braked', true]);
  assert.match(result.status.conditions[0]?.message ?? '', /bulkhead brake release/);
  assert.deepEqual(result.next, { kind: 'at', time: NOW + 5_000 });
});

test('a braked removal is asked for again within half a minute, also when the window ends later', async () => {
  const later: BrakeVerdict = { kind: 'braked', until: new Date(NOW + 600_000), budget: 3 };
  const { next } = await turn(tombstoneOf(goal), runningCell(goal), null, { verdict: later });
  assert.deepEqual(next, { kind: 'at', time: NOW + 30_000 });
});

test('the brake holds removals only: repairs and edits go on', async () => {
  const cell = runningCell(goal);
  change(cell, 'NetworkPolicy', (o) => ({ ...o, spec: {} }));
  await turn(goalOf(undefined, { revision: 2 }), cell, null, { verdict: BRAKED });
  assert.ok(cell.writes > 0);
});

test('a cell that is being deleted by Kubernetes already is not asked for again', async () => {
  const cell = runningCell(goal);
  await turn(tombstoneOf(goal), cell);
  const again = await turn(tombstoneOf(goal), cell, null, { verdict: BRAKED });
  assert.equal(reason(again), 'Removing');
});

test('a refused epoch ends the turn and names the fence that it was written under', async () => {
  const cell = new FakeCluster();
  cell.failNext(new ClusterError('fenced', 'stale epoch'));
  const result = await turn(goal, cell);
  assert.deepEqual([result.refused, cell.writes], [FENCE_A, 1]);
});

test('every write goes out under the fence of the moment', async () => {
  const cell = new FakeCluster();
  const newer: Fence = { ...FENCE_A, epoch: { ...FENCE_A.epoch, n: 2 } };
  let asked = 0;
  await turn(goal, cell, null, { fence: () => (++asked <= 2 ? FENCE_A : newer) });
  assert.deepEqual(cell.fences.map((fence) => fence.epoch.n).slice(0, 3), [1, 1, 2]);
});
