import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type JobId, revision } from '../../../src/job/ids.ts';
import { FakeStore } from '../../../src/ports/store.fake.ts';
import { StoreError } from '../../../src/ports/store.ts';
import { GoalFeed } from '../../../src/reconcile/goal-feed.ts';
import { goalOf, JOB_A, JOB_B, STORE } from '../../support/goals.ts';

function feedOn(store: FakeStore) {
  const story: string[] = [];
  const feed = new GoalFeed(store, {
    onChanged: (id: JobId) => story.push(id === JOB_A ? 'A' : 'B'),
    onPlatform: async (tenant) => void story.push(`platform ${tenant ?? '*'}`),
    onEverything: async () => void story.push('everything'),
  });
  return { feed, story };
}

const head = (jobId: JobId, at: number) => ({ jobId, revision: revision(at) });

test('the first poll reads everything; later ones only what changed', async () => {
  const store = new FakeStore(STORE, []);
  const { feed, story } = feedOn(store);
  await feed.poll();
  store.changes = { jobs: [head(JOB_A, 2)], platforms: [{ tenant: null, revision: revision(1) }], lagMs: 0 };
  await feed.poll();
  assert.deepEqual(story, ['everything', 'A', 'platform *']);
});

test('what an open transaction makes the store report again is not acted on again', async () => {
  const store = new FakeStore(STORE, []);
  const { feed, story } = feedOn(store);
  await feed.poll();
  store.changes = { jobs: [head(JOB_A, 2)], platforms: [], lagMs: 700 };
  await feed.poll();
  store.changes = { jobs: [head(JOB_A, 2), head(JOB_B, 1)], platforms: [], lagMs: 900 };
  await feed.poll();
  store.changes = { jobs: [head(JOB_A, 3), head(JOB_B, 1)], platforms: [], lagMs: 900 };
  await feed.poll();
  assert.deepEqual(story, ['everything', 'A', 'B', 'A']);
  assert.equal(feed.lagMs, 900);
});

test('a change that a hint told of, and that was read since, is no news when the poll finds it; a later one is', async () => {
  const goal = goalOf(undefined, { revision: 2 });
  const store = new FakeStore(STORE, [goal]);
  const { feed, story } = feedOn(store);
  await feed.poll();
  await feed.load(JOB_A);
  store.changes = { jobs: [head(JOB_A, 2), head(JOB_B, 1)], platforms: [], lagMs: 0 };
  await feed.poll();
  assert.deepEqual(story, ['everything', 'B']);
  store.changes = { jobs: [head(JOB_A, 3)], platforms: [], lagMs: 0 };
  await feed.poll();
  assert.deepEqual(story, ['everything', 'B', 'A']);
});

test('a cursor of another timeline says nothing: everything is read again', async () => {
  const store = new FakeStore(STORE, []);
  const { feed, story } = feedOn(store);
  await feed.poll();
  store.changes = null;
  await feed.poll();
  assert.deepEqual(story, ['everything', 'everything']);
});

test('what could not be handled is reported again by the next poll', async () => {
  const store = new FakeStore(STORE, []);
  let failures = 1;
  const seen: (string | null)[] = [];
  const feed = new GoalFeed(store, {
    onChanged: () => undefined,
    onEverything: async () => undefined,
    onPlatform: async (tenant) => {
      if (failures-- > 0) throw new StoreError('unavailable', 'away');
      seen.push(tenant);
    },
  });
  await feed.poll();
  store.changes = { jobs: [], platforms: [{ tenant: 'ads', revision: revision(1) }], lagMs: 0 };
  await assert.rejects(feed.poll());
  await feed.poll();
  assert.deepEqual(seen, ['ads']);
});

test('a hint during a poll leads to one more, so that nothing committed before the hint is missed', async () => {
  const store = new FakeStore(STORE, []);
  const { feed } = feedOn(store);
  let reads = 0;
  store.changesSince = async (cursor) => {
    reads += 1;
    return { jobs: [], platforms: [], lagMs: 0, cursor };
  };
  await feed.poll();
  await Promise.all([feed.poll(), feed.poll(), feed.poll()]);
  assert.equal(reads, 2);
});

test('loads at about the same time share their queries, and an unknown id is null', async () => {
  const store = new FakeStore(STORE, [goalOf()]);
  let queries = 0;
  const goals = store.goals.bind(store);
  store.goals = (ids) => {
    queries += 1;
    return goals(ids);
  };
  const { feed } = feedOn(store);
  const [a, again, unknown] = await Promise.all([feed.load(JOB_A), feed.load(JOB_A), feed.load(JOB_B)]);
  assert.deepEqual([a?.goal.job.id, again?.goal.job.id, unknown, queries], [JOB_A, JOB_A, null, 1]);
});
