import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unseen } from '../../../src/cli/events.ts';
import { currentStatus, jobObject, listGoals, notFound, requireGoal } from '../../../src/cli/jobs.ts';
import { orphansAmong } from '../../../src/cli/orphans.ts';
import { receiptText } from '../../../src/cli/receipts.ts';
import type { Goal } from '../../../src/job/goal.ts';
import { type JobId, revision } from '../../../src/job/ids.ts';
import { LABELS, type ObservedObject } from '../../../src/plan/objects.ts';
import type { GoalCatalog, GoalReader } from '../../../src/ports/store.ts';
import { goalOf, JOB_A, JOB_B, STORE, tombstoneOf } from '../../support/goals.ts';
import { ago, eventOf, seenOf } from './views.ts';

/** A store of these goals: wanted ones, and removed ones whose cells are still there. */
function catalogOf(...goals: Goal[]): GoalCatalog & GoalReader {
  const wanted = goals.filter(({ content }) => content.kind === 'spec');
  return {
    storeId: STORE,
    heads: async () => goals.map((goal) => ({ jobId: goal.job.id, revision: goal.revision })),
    goals: async (ids) => goals.filter((goal) => ids.includes(goal.job.id)),
    list: async (filter = {}) => wanted.filter(({ job }) => !filter.tenant || job.tenant === filter.tenant),
    find: async (job) => wanted.find((goal) => goal.job.tenant === job.tenant && goal.job.name === job.name) ?? null,
    findRemoved: async (job) => {
      const goal = goals.find((it) => it.content.kind === 'tombstone' && it.job.name === job.name);
      return goal ? { goal, until: ago(-600) } : null;
    },
    knows: async (ids) => new Set(goals.map((goal) => goal.job.id).filter((id) => ids.includes(id))),
  };
}

const clicks = goalOf();
const leaving = tombstoneOf(goalOf(undefined, { id: JOB_B, name: 'views' }));

test('jobs whose cells are still being removed are listed, in the order of names', async () => {
  const store = catalogOf(leaving, clicks);
  assert.deepEqual(await listGoals(store, 'ads'), [clicks, leaving]);
  assert.deepEqual(await listGoals(store, null), [clicks, leaving]);
  assert.deepEqual(await listGoals(store, 'web'), []);
});

test('a name means the wanted job; without one, the job that is being removed', async () => {
  const again = goalOf(undefined, { name: 'views' });
  assert.equal(await requireGoal(catalogOf(leaving), leaving.job), leaving);
  assert.equal(await requireGoal(catalogOf(leaving, again), leaving.job), again);
});

test('what is not there is said with what may have been meant', () => {
  const goals = [clicks, goalOf(undefined, { tenant: 'web', name: 'orders' })];
  assert.equal(
    notFound({ tenant: 'ads', name: 'orders' }, goals),
    'streamjob "orders" not found in tenant ads; did you mean web/orders?',
  );
  assert.equal(
    notFound({ tenant: 'ads', name: 'click' }, goals),
    'streamjob "click" not found in tenant ads; did you mean ads/clicks?',
  );
  assert.equal(notFound({ tenant: 'x', name: 'y' }, goals), 'streamjob "y" not found in tenant x');
});

test('what was seen of an earlier revision is not taken for the current one', () => {
  assert.equal(currentStatus({ goal: { ...clicks, revision: revision(2) }, seen: seenOf(clicks) }), null);
  assert.equal(currentStatus({ goal: clicks, seen: seenOf(clicks) })?.phase, 'Running');
});

test('as an object, a job has the form that kubectl knows, and says which revision its status speaks of', () => {
  const object = jobObject({ goal: { ...clicks, revision: revision(2) }, seen: seenOf(clicks) }) as {
    metadata: Record<string, unknown>;
    status: Record<string, unknown>;
  };
  assert.deepEqual([object.metadata.name, object.metadata.namespace, object.metadata.uid], ['clicks', 'ads', JOB_A]);
  assert.deepEqual([object.metadata.generation, object.status.observedGeneration], [2, 1]);
});

test('a removed job as an object carries a deletionTimestamp and no spec', () => {
  const object = jobObject({ goal: leaving, seen: null }) as { metadata: Record<string, unknown> };
  assert.equal(object.metadata.deletionTimestamp, leaving.layers.job.createdAt.toISOString());
  assert.ok(!('spec' in object) && !('status' in object));
});

test('receipts are worded as kubectl does, with tenant and revision', () => {
  const receipt = { job: clicks.job, id: clicks.job.id, revision: revision(1), outcome: 'created' } as const;
  assert.equal(receiptText([receipt], undefined, 'none'), 'streamjob/clicks created (tenant ads, revision 1)\n');
  assert.equal(
    receiptText([receipt], undefined, 'client'),
    'streamjob/clicks created (dry run) (tenant ads, revision 1)\n',
  );
  assert.equal(receiptText([receipt], 'name', 'none'), 'ads/clicks\n');
});

test('while watching, each event is shown once, also equal ones of the same millisecond', () => {
  const [old, one] = [eventOf(clicks, { at: ago(10) }), eventOf(clicks, { at: ago(5) })];
  const later = eventOf(clicks, { at: ago(1) });
  assert.deepEqual(unseen([old, one], [old, one, one, later]), [one, later]);
  assert.deepEqual(unseen([one], [old, one]), [], 'a longer look back shows nothing old');
  assert.deepEqual(unseen([], [one]), [one]);
});

test('a cell is an orphan only when the store never gave its id; removed jobs are known', async () => {
  const namespace = (name: string, id: string): ObservedObject => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, uid: 'u', resourceVersion: '1', labels: { [LABELS.jobId]: id } },
  });
  const stranger = '99999999-9999-4999-8999-999999999999' as JobId;
  const found = await orphansAmong(
    [namespace('a', JOB_A), namespace('b', JOB_B), namespace('c', stranger), namespace('d', 'no id')],
    catalogOf(clicks, leaving),
  );
  assert.deepEqual(
    found.map((orphan) => orphan.namespace),
    ['c', 'd'],
  );
});
