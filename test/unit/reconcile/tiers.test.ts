import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Goal } from '../../../src/job/goal.ts';
import { clusterId } from '../../../src/job/ids.ts';
import type { JobStatus } from '../../../src/job/status.ts';
import { FakeCluster } from '../../../src/ports/cluster.fake.ts';
import { ClusterError } from '../../../src/ports/cluster.ts';
import type { BrakeVerdict } from '../../../src/ports/store.ts';
import { reconcile } from '../../../src/reconcile/reconciler.ts';
import { renderGoal, runningCell, tenantNamespace } from '../../support/cells.ts';
import { FENCE_A, goalOf, JOB_B, MINIMAL, STORE, tombstoneOf } from '../../support/goals.ts';

/** Turns of jobs of tier `shared`, and of jobs on their way from one tier to another. */

const CLUSTER = clusterId('00000000-0000-4000-8000-0000000000cc');
const SHARED = { ...MINIMAL, isolation: { tier: 'shared' as const } };
const shared = goalOf(SHARED, { revision: 2 });
const BRAKED: BrakeVerdict = { kind: 'braked', until: new Date(6_000), budget: 3 };

const turn = (goal: Goal, cell: FakeCluster, previous: JobStatus | null = null, verdict?: BrakeVerdict) =>
  reconcile({
    storeId: STORE,
    clusterId: CLUSTER,
    goal,
    previous,
    keepers: [],
    cell,
    fence: () => FENCE_A,
    reserveRemoval: async () => verdict ?? { kind: 'granted' },
    now: () => 1_000,
  });

const summary = ({ status: { phase, conditions, tier, cell } }: { readonly status: JobStatus }): string =>
  `${phase} ${conditions.map((c) => `${c.type}=${c.status}`).join(',')} ${conditions[0]?.reason} ${tier} ${cell}`;

/** The old cell runs, and the workers of the new one are ready. */
function moving(): FakeCluster {
  const cell = runningCell(goalOf());
  cell.put(tenantNamespace('ads'));
  for (const object of renderGoal(shared)) cell.put(object);
  cell.finishRollouts();
  return cell;
}

test('a tenant’s namespace that is not there is said with the command that makes it, and tried again with a back-off', async () => {
  const cell = new FakeCluster();
  const result = await turn(shared, cell);
  assert.equal(summary(result), 'Waiting Ready=False,Stalled=True NamespaceMissing shared ads');
  assert.match(result.status.conditions[0]?.message ?? '', /kubectl create namespace ads$/);
  assert.deepEqual([cell.writes, result.next], [1, { kind: 'retry', afterMs: null }]);
});

test('a tenant’s namespace that is ending passes by itself', async () => {
  const cell = new FakeCluster();
  cell.failNext(new ClusterError('terminating', 'ads is ending'));
  assert.equal(
    summary(await turn(shared, cell)),
    'Waiting Ready=False,Reconciling=True NamespaceTerminating shared ads',
  );
});

test('while what a move has left behind still goes, the job is ready where it is', async () => {
  const result = await turn(shared, moving());
  assert.equal(summary(result), 'Progressing Ready=True,Reconciling=True Moving shared ads');
});

test('the brake counts a move as the removal of a cell: over the budget both run on, and the job is ready', async () => {
  const cell = moving();
  const result = await turn(shared, cell, null, BRAKED);
  assert.equal(summary(result), 'Progressing Ready=True,Stalled=True Braked shared ads');
  assert.deepEqual([cell.writes, result.braked], [0, true]);
});

test('the brake counts the removal of a shared cell, too', async () => {
  const cell = runningCell(shared);
  const result = await turn(tombstoneOf(shared), cell, null, BRAKED);
  assert.deepEqual([cell.writes, result.status.phase, result.braked], [0, 'Deleting', true]);
});

test('a removed shared cell goes in three turns: workers, their end, the rest; its tier stays said', async () => {
  const cell = runningCell(shared);
  const running = await turn(shared, cell);
  const first = await turn(tombstoneOf(shared), cell, running.status);
  assert.equal(summary(first), 'Deleting Ready=False,Reconciling=True Removing shared ads');
  assert.deepEqual(
    cell.calls.filter((call) => !call.startsWith('read')).map((call) => call.split('/')[0]),
    ['delete Deployment'],
  );
  cell.finishTerminations();
  const last = await turn(tombstoneOf(shared), cell, first.status);
  assert.deepEqual([last.status.phase, last.next, cell.objects.size], ['Gone', { kind: 'idle' }, 0]);
});

test('a job made again under the name of one whose objects are still there waits for it, and takes nothing over', async () => {
  const cell = runningCell(shared);
  cell.put(tenantNamespace('ads'));
  const before = new Map(cell.objects);
  const result = await turn(goalOf(SHARED, { id: JOB_B }), cell);
  assert.equal(summary(result), 'Waiting Ready=False,Reconciling=True OldCellTerminating shared ads');
  assert.deepEqual(cell.objects, before);
});

test('a status from before there were tiers is one of tier namespace', async () => {
  const { status } = await turn(goalOf(), runningCell(goalOf()));
  const { tier: _tier, ...old } = status;
  const result = await turn(tombstoneOf(goalOf()), runningCell(goalOf()), old as JobStatus);
  assert.deepEqual([result.status.tier, result.status.cell], [null, status.cell]);
});
