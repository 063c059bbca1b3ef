import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CellCache, type CellChange } from '../../../src/cluster/cell-cache.ts';
import { isNewer } from '../../../src/cluster/decode.ts';
import { keyOf, keyText, type ObservedObject } from '../../../src/plan/objects.ts';
import { goalHash } from '../../../src/plan/observation.ts';
import { renderGoal } from '../../support/cells.ts';
import { goalOf, JOB_A } from '../../support/goals.ts';

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
    version: () => cache.observe(namespace).objects.get(key)?.metadata.resourceVersion,
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

test('what the server made of our write is remembered until the object is gone', () => {
  const { cache, sink } = cacheWith();
  cache.recordWrite(at('12'), 'wanted');
  assert.deepEqual(cache.observe(namespace).settled.get(key), { goalHash: 'wanted', storedHash: goalHash(at('12')) });
  sink.remove(at('13'));
  assert.equal(cache.observe(namespace).settled.has(key), false);
});

test('versions are compared as numbers, not as text; what is no number counts as new', () => {
  assert.deepEqual(
    [isNewer('10', '9'), isNewer('9', '10'), isNewer('9', '9'), isNewer('b', 'a')],
    [true, false, false, true],
  );
});
