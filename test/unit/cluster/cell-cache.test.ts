import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CellCache, type CellChange } from '../../../src/cluster/cell-cache.ts';
import { isNewer } from '../../../src/cluster/decode.ts';
import { keyOf, keyText, type ObservedObject } from '../../../src/plan/objects.ts';
import { goalHash } from '../../../src/plan/observation.ts';
import { renderGoal } from '../../support/cells.ts';
import { goalOf, JOB_A, JOB_B } from '../../support/goals.ts';

const [, account] = renderGoal(goalOf());
const at = (resourceVersion: string, uid = 'u1'): ObservedObject => {
  if (!account) throw new Error('no service account is rendered');
  return { ...account, metadata: { ...account.metadata, uid, resourceVersion } };
};
const key = keyText(keyOf(at('1')));
const namespace = at('1').metadata.namespace ?? '';

function cacheWith(changes: CellChange[] = []) {
  const cache = new CellCache(new Map(), (change) => changes.push(change));
  return {
    cache,
    sink: cache.sinkFor('ServiceAccount'),
    version: () => cache.observe({ id: JOB_A, namespace }).objects.get(key)?.metadata.resourceVersion,
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

test('a list that was made before our own write does not take it away', () => {
  const { cache, sink, version } = cacheWith();
  cache.recordWrite(at('12'), 'hash');
  sink.replaceAll([], '11');
  assert.equal(version(), '12');
  sink.replaceAll([], '12');
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

test('every change names the job and the namespace to wake', () => {
  const changes: CellChange[] = [];
  const { sink } = cacheWith(changes);
  sink.upsert(at('5'));
  sink.remove(at('6'));
  assert.deepEqual(changes, [
    { namespace, jobId: JOB_A },
    { namespace, jobId: JOB_A },
  ]);
});

test('many jobs in one namespace: a look at one of them shows its own objects alone', () => {
  const { cache, sink } = cacheWith();
  const other = at('6', 'u2');
  const labels = { ...other.metadata.labels, 'bulkhead.dev/job-id': JOB_B };
  sink.upsert(at('5'));
  sink.upsert({ ...other, metadata: { ...other.metadata, name: 'other', labels } });
  assert.deepEqual([...cache.observe({ id: JOB_A, namespace }).objects.keys()], [key]);
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
  assert.equal(cache.observe({ id: JOB_A, namespace }).objects.size, 0);
});

test('a namespace under the name of the job’s own is seen, whoever has it', () => {
  const { cache } = cacheWith();
  const [own] = renderGoal(goalOf());
  assert.ok(own);
  const labels = { ...own.metadata.labels, 'bulkhead.dev/job-id': JOB_B };
  cache.sinkFor('Namespace').upsert({ ...own, metadata: { ...own.metadata, uid: 'n', resourceVersion: '3', labels } });
  assert.deepEqual([...cache.observe({ id: JOB_A, namespace }).objects.keys()], [keyText(keyOf(own))]);
});

test('where namespaces are watched one by one, the list of one takes nothing away from another', () => {
  const { cache, version } = cacheWith();
  cache.sinkFor('ServiceAccount', namespace).upsert(at('5'));
  cache.sinkFor('ServiceAccount', 'other').replaceAll([], '9');
  assert.equal(version(), '5');
  cache.sinkFor('ServiceAccount', namespace).replaceAll([], '9');
  assert.equal(version(), undefined);
});

test('what the server made of our write is remembered until the object is gone', () => {
  const { cache, sink } = cacheWith();
  cache.recordWrite(at('12'), 'wanted');
  assert.deepEqual(cache.observe({ id: JOB_A, namespace }).settled.get(key), {
    goalHash: 'wanted',
    storedHash: goalHash(at('12')),
  });
  sink.remove(at('13'));
  assert.equal(cache.observe({ id: JOB_A, namespace }).settled.has(key), false);
});

test('versions are compared as numbers, not as text; what is no number counts as new', () => {
  assert.deepEqual(
    [isNewer('10', '9'), isNewer('9', '10'), isNewer('9', '9'), isNewer('b', 'a')],
    [true, false, false, true],
  );
});
