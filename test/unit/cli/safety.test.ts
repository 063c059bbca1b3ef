import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brakeObject, brakeText, releaseQuestion, removalForecast } from '../../../src/cli/brake-text.ts';
import { operatorLine, ownerLine } from '../../../src/cli/replicas.ts';
import type { StoreFacts } from '../../../src/cli/store-facts.ts';
import { behindOf, confirmText, storeObject, storeText } from '../../../src/cli/store-text.ts';
import { SHARD_COUNT, type Shard, shard } from '../../../src/job/ids.ts';
import { goalOf, JOB_A, STORE } from '../../support/goals.ts';
import { matchesGolden } from './golden.ts';
import { ago, brakeOf, CLUSTER, NOW, replicaOf } from './views.ts';

const waiting = ['a', 'b', 'c', 'd'].map((name) => goalOf(undefined, { name }).job);

test('the brake says its budget, what waits, and who released it last', () => {
  const lastRelease = { at: ago(7_200), author: 'ann@desk', reason: 'moving house' };
  matchesGolden('brake', brakeText(brakeOf({ used: 3, waiting, lastRelease }), NOW));
  assert.match(brakeText(brakeOf(), NOW), /Waiting: +none\nReleased: +never\n$/);
});

test('the brake as data has all that waits', () => {
  const object = brakeObject(brakeOf({ waiting })) as { waiting: unknown[]; lastRelease: unknown };
  assert.deepEqual([object.waiting.length, object.lastRelease], [4, null]);
});

test('a release is asked for with the number and the names', () => {
  assert.equal(
    releaseQuestion(brakeOf({ waiting })),
    'Let 4 removals go beyond the budget of 3 within 10m (ads/a, ads/b, ads/c, ads/d)? Their cells are deleted with everything in them.',
  );
});

test('before many jobs are deleted it is said how many go at once and how many wait', () => {
  const cases: readonly (readonly [Parameters<typeof brakeOf>[0], number, RegExp])[] = [
    [{}, 1, /^The brake lets it go at once\.$/],
    [{}, 3, /^The brake lets all 3 go at once\.$/],
    [
      {},
      10,
      /^The brake lets 3 go at once \(3 within 10m\); 7 wait until there is room, or for: bulkhead brake release/,
    ],
    [{ used: 2 }, 2, /lets 1 go at once .*; 1 waits until/],
    [{ used: 2, waiting }, 2, /lets 0 go at once/],
  ];
  for (const [state, count, pattern] of cases) assert.match(removalForecast(brakeOf(state), count), pattern);
});

test('who acts is said for all shards and for the one of a job', () => {
  const [a, b] = [replicaOf('a', 0, 2), replicaOf('b', 1, 2)];
  assert.equal(operatorLine([]), 'none runs');
  assert.equal(operatorLine([replicaOf('a')]), 'one runs: a (256 shards)');
  assert.equal(operatorLine([a, b]), '2 run: a (128 shards), b (128 shards)');
  assert.equal(operatorLine([a]), 'one runs: a (128 shards); 128 shards wait for an owner');
  assert.equal(ownerLine([a, b], JOB_A), 'b acts for it (shard 227)');
  assert.match(ownerLine([a], JOB_A), /^nobody yet: shard 227 waits for one of 1 replicas/);
  assert.match(ownerLine([a, { ...b, alive: false }], JOB_A), /^b owned its shard 227 and is gone; another replica/);
  assert.match(ownerLine([{ ...b, alive: false }], JOB_A), /^none runs/);
});

const FACTS: StoreFacts = {
  system: '7000000000000000001',
  timeline: 1,
  schemaVersion: 2,
  undeleteRetentionMs: 7 * 86_400_000,
  epochs: new Map(Array.from({ length: SHARD_COUNT }, (_, index) => [shard(index), 5])),
};

const REPORT = {
  storeId: STORE,
  target: 'Postgres at db.example:5432 (database "bulkhead")',
  facts: FACTS,
  knownSchema: 2,
  replicas: [
    replicaOf('desk-1', 0, 2),
    replicaOf('desk-2', 1, 2, { alive: false, clusterId: null, startedAt: ago(60) }),
  ],
  cluster: { id: CLUSTER, contextName: 'kind', server: 'https://127.0.0.1:6443', caCertificate: null },
};

test('store status shows which database it is and who acts for it', () => {
  matchesGolden('store-status', storeText(REPORT, NOW));
  assert.match(
    storeText({ ...REPORT, facts: { ...FACTS, timeline: 0 } }, NOW),
    /System: +7000000000000000001, a standby\n/,
  );
  const object = storeObject(REPORT) as { replicas: { shards: unknown[] }[] };
  assert.equal(object.replicas[0]?.shards.length, 128);
});

const epochOf = (n: number, system = FACTS.system, timeline = 1) => ({ system, timeline, n });

test('a store is behind where the fence has seen another database, a later timeline or a higher number', () => {
  const zero = shard(0);
  const behind = (epoch: ReturnType<typeof epochOf>, followed: readonly Shard[] = []) =>
    behindOf(FACTS, new Map([[zero, epoch]]), new Set(followed), new Map()).size === 1;
  assert.equal(behind(epochOf(5)), false, 'the same');
  assert.equal(behind(epochOf(4)), false, 'the fence is to be raised');
  assert.equal(behind(epochOf(6)), true, 'restored from behind');
  assert.equal(behind(epochOf(1, FACTS.system, 2)), true, 'the former primary');
  assert.equal(behind(epochOf(1, '7000000000000000002')), true, 'restored elsewhere');
  assert.equal(behind(epochOf(5, '7000000000000000002'), [zero]), false, 'confirmed');
  assert.equal(behind(epochOf(5, '7000000000000000002'), [shard(1)]), true, 'another shard was confirmed');
  assert.equal(behind(epochOf(6, '7000000000000000002'), [zero]), true, 'and then behind again');
});

test('what operators found ahead is behind until it is confirmed, though claims have outgrown the fence', () => {
  const remembered = new Map([[shard(0), epochOf(4)]]);
  const behind = (fence: ReadonlyMap<Shard, ReturnType<typeof epochOf>>) =>
    behindOf(FACTS, fence, new Set([shard(0)]), remembered);
  assert.deepEqual(behind(new Map()), remembered, 'also where this fence says nothing');
  assert.deepEqual(
    behind(
      new Map([
        [shard(0), epochOf(3)],
        [shard(1), epochOf(5)],
      ]),
    ),
    new Map([[shard(0), epochOf(3)]]),
  );
});

test('a confirmation shows both sides', () => {
  const fence = new Map([...FACTS.epochs.keys()].map((id) => [id, epochOf(9 + id, '7000000000000000002', 3)]));
  const cluster = { contextName: 'kind', server: 'https://127.0.0.1:6443' };
  matchesGolden('store-confirm', confirmText(REPORT, cluster, fence, behindOf(FACTS, fence, new Set(), new Map())));
});
