import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CellCache, type CellChange } from '../../../src/cluster/cell-cache.ts';
import { isNewer } from '../../../src/cluster/decode.ts';
import type { ReflectorSink } from '../../../src/cluster/reflector.ts';
import { keyOf, keyText, type ObservedObject } from '../../../src/plan/objects.ts';
import { goalHash, seenAt } from '../../../src/plan/observation.ts';
import { seenObject } from '../../../src/plan/seen.ts';
import { renderGoal } from '../../support/cells.ts';
import { goalOf, JOB_A, JOB_B } from '../../support/goals.ts';

const [, account] = renderGoal(goalOf());
const at = (resourceVersion: string, uid = 'u1'): ObservedObject => {
  if (!account) throw new Error('no service account is rendered');
  return { ...account, metadata: { ...account.metadata, uid, resourceVersion } };
};
const key = keyOf(at('1'));
const namespace = at('1').metadata.namespace ?? '';

function list(sink: ReflectorSink, items: readonly unknown[], version: string): void {
  sink.keepOnly(new Set(items.map((item) => sink.upsert(item))), version);
}

function cacheWith(changes: CellChange[] = []) {
  const cache = new CellCache(new Map(), (change) => changes.push(change));
  return {
    cache,
    sink: cache.sinkFor('ServiceAccount'),
    version: () => seenAt(cache.observe({ id: JOB_A, namespace }).objects, key)?.resourceVersion,
  };
}

test('an event older than our own write is dropped, so a plan never acts on a state from before it', () => {
  const { cache, sink, version } = cacheWith();
  cache.recordWrite(at('12'), 'hash');
  sink.upsert(at('9'));
  assert.equal(version(), '12');
  sink.upsert(at('13'));
  assert.equal(version(), '13');
});

test('a watch that is faster than the answer to our own write is no news, unless it tells of something else', () => {
  const changes: CellChange[] = [];
  const { cache, sink, version } = cacheWith(changes);
  const hash = goalHash(seenObject('ServiceAccount', at('12')));
  {
    using _told = cache.expectWrite(key, hash);
    sink.upsert(at('12'));
    assert.deepEqual([version(), changes.length], ['12', 0], 'the turn that writes sees it, and no other is needed');
    cache.recordWrite(at('12'), hash);
    sink.upsert({ ...at('13'), automountServiceAccountToken: true });
    assert.equal(changes.length, 1, 'an edit by somebody else while we write is news');
  }
  sink.upsert(at('14'));
  assert.equal(changes.length, 2, 'and so is everything once the write has ended');
});

test('a list that was made before our own write does not take it away', () => {
  const { cache, sink, version } = cacheWith();
  cache.recordWrite(at('12'), 'hash');
  list(sink, [], '11');
  assert.equal(version(), '12');
  list(sink, [], '12');
  assert.equal(version(), undefined);
});

test('a late deletion of a former object does not take away its successor', () => {
  const { cache, sink, version } = cacheWith();
  sink.upsert(at('5', 'former'));
  cache.recordWrite(at('12', 'successor'), 'hash');
  sink.remove(at('6', 'former'));
  assert.equal(version(), '12');
  sink.remove(at('14', 'successor'));
  assert.equal(version(), undefined);
});

test('a late answer to our own write does not bring back what was deleted meanwhile', () => {
  const { cache, sink, version } = cacheWith();
  sink.upsert(at('11'));
  sink.remove(at('12'));
  cache.recordWrite(at('11'), 'hash');
  assert.equal(version(), undefined);
  sink.upsert(at('13'));
  assert.equal(version(), '13', 'an object whose label came back is the same one, and newer');
});

test('every change names the job and the namespace to wake, and says whether something is not as it was', () => {
  const changes: CellChange[] = [];
  const { sink } = cacheWith(changes);
  sink.upsert(at('5'));
  sink.upsert({ ...at('6'), automountServiceAccountToken: true });
  sink.remove(at('7'));
  const change = { namespace, jobId: JOB_A };
  assert.deepEqual(changes, [
    { ...change, isDrift: false },
    { ...change, isDrift: true },
    { ...change, isDrift: true },
  ]);
});

test('many jobs in one namespace: a look at one of them shows its own objects alone', () => {
  const { cache, sink } = cacheWith();
  const other = at('6', 'u2');
  const labels = { ...other.metadata.labels, 'bulkhead.dev/job-id': JOB_B };
  sink.upsert(at('5'));
  sink.upsert({ ...other, metadata: { ...other.metadata, name: 'other', labels } });
  assert.deepEqual(cache.observe({ id: JOB_A, namespace }).objects.map(keyText), [keyText(key)]);
  assert.deepEqual(
    [...cache.cells()],
    [
      { namespace, jobId: JOB_A },
      { namespace, jobId: JOB_B },
    ],
  );
});

test('an object that somebody gives to another job wakes the one that has lost it, too', () => {
  const changes: CellChange[] = [];
  const { cache, sink } = cacheWith(changes);
  const taken = at('6');
  sink.upsert(at('5'));
  sink.upsert({
    ...taken,
    metadata: { ...taken.metadata, labels: { ...taken.metadata.labels, 'bulkhead.dev/job-id': JOB_B } },
  });
  assert.deepEqual(
    changes.map(({ jobId }) => jobId),
    [JOB_A, JOB_B, JOB_A],
  );
  assert.equal(cache.observe({ id: JOB_A, namespace }).objects.length, 0);
});

test('a namespace under the name of the job’s own is seen, whoever has it', () => {
  const { cache } = cacheWith();
  const [own] = renderGoal(goalOf());
  assert.ok(own);
  const labels = { ...own.metadata.labels, 'bulkhead.dev/job-id': JOB_B };
  cache.sinkFor('Namespace').upsert({ ...own, metadata: { ...own.metadata, uid: 'n', resourceVersion: '3', labels } });
  assert.deepEqual(cache.observe({ id: JOB_A, namespace }).objects.map(keyText), [keyText(keyOf(own))]);
});

test('where namespaces are watched one by one, the list of one takes nothing away from another', () => {
  const { cache, version } = cacheWith();
  cache.sinkFor('ServiceAccount', namespace).upsert(at('5'));
  list(cache.sinkFor('ServiceAccount', 'other'), [], '9');
  assert.equal(version(), '5');
  list(cache.sinkFor('ServiceAccount', namespace), [], '9');
  assert.equal(version(), undefined);
});

test('what the server made of our write is remembered until the object is gone', () => {
  const { cache, sink } = cacheWith();
  cache.recordWrite(at('12'), 'wanted');
  assert.deepEqual(cache.observe({ id: JOB_A, namespace }).settled.get(keyText(key)), {
    goalHash: 'wanted',
    storedHash: goalHash(seenObject('ServiceAccount', at('12'))),
  });
  sink.remove(at('13'));
  assert.equal(cache.observe({ id: JOB_A, namespace }).settled.has(keyText(key)), false);
});

test('versions are compared as numbers, not as text; what is no number counts as new', () => {
  assert.deepEqual(
    [isNewer('10', '9'), isNewer('9', '10'), isNewer('9', '9'), isNewer('b', 'a')],
    [true, false, false, true],
  );
});

test('an answer to our own write, and a version that moved alone, wake nobody: a plan would come out the same', () => {
  const changes: CellChange[] = [];
  const { cache, sink, version } = cacheWith(changes);
  cache.recordWrite(at('12'), 'hash');
  sink.upsert(at('13'));
  assert.deepEqual([changes, version()], [[], '13']);
  sink.upsert({ ...at('14'), automountServiceAccountToken: true });
  assert.equal(changes.length, 1);
});

test('what came back as it was sent is not remembered beside the object itself', () => {
  const { cache } = cacheWith();
  cache.recordWrite(at('12'), goalHash(seenObject('ServiceAccount', at('12'))));
  assert.equal(cache.observe({ id: JOB_A, namespace }).settled.size, 0);
});

test('a list in several pages takes away what was in none of them, and wakes only for what is new', () => {
  const changes: CellChange[] = [];
  const { cache, sink } = cacheWith(changes);
  const named = (name: string, uid: string): ObservedObject => {
    const object = at('5', uid);
    return { ...object, metadata: { ...object.metadata, name } };
  };
  list(sink, [named('a', '1'), named('b', '2')], '9');
  assert.equal(changes.length, 2);
  list(sink, [named('b', '2'), named('c', '3')], '12');
  assert.deepEqual(
    cache.observe({ id: JOB_A, namespace }).objects.map(({ name }) => name),
    ['b', 'c'],
  );
  assert.equal(changes.length, 4, 'one more came and one went');
});

/** A pod as the API server shows it. */
const pod = (uid: string, ready: boolean, extra: object = {}) => ({
  metadata: { name: uid, namespace, uid, resourceVersion: '1', labels: { 'bulkhead.dev/job-id': JOB_A }, ...extra },
  status: { phase: 'Running', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
});

test('a pod wakes its job when something is different about it that a status would tell', () => {
  const changes: CellChange[] = [];
  const { cache } = cacheWith(changes);
  const sink = cache.podSink();
  sink.upsert(pod('p', false));
  sink.upsert(pod('p', false, { resourceVersion: '2' }));
  assert.equal(changes.length, 1);
  sink.upsert(pod('p', true));
  assert.equal(changes.length, 2);
  list(sink, [pod('p', true)], '9');
  assert.equal(changes.length, 2);
  list(sink, [], '10');
  assert.deepEqual([changes.length, cache.observe({ id: JOB_A, namespace }).pods], [3, []]);
});
