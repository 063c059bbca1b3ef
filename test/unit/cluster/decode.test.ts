import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CellCache, type CellChange } from '../../../src/cluster/cell-cache.ts';
import { decodeEvent, eventVersion } from '../../../src/cluster/decode.ts';
import { seenAt } from '../../../src/plan/observation.ts';
import { renderGoal } from '../../support/cells.ts';
import { goalOf, JOB_A } from '../../support/goals.ts';

const line = (type: string, metadata: object, kind = 'Service', apiVersion = 'v1'): string =>
  JSON.stringify({ type, object: { kind, apiVersion, metadata } });
const METADATA = { name: 'clicks', namespace: 'bh-ads', uid: 'u-1', resourceVersion: '42', labels: { uid: 'x' } };

test('what an event says of a version is read from its beginning, as the whole of it says', () => {
  const cases = [
    line('ADDED', METADATA),
    line('MODIFIED', METADATA, 'NetworkPolicy', 'networking.k8s.io/v1'),
    line('ADDED', { name: 'bh-ads', uid: 'u-2', resourceVersion: '7' }, 'Namespace'),
  ];
  for (const text of cases) {
    const { metadata } = decodeEvent(text).object as { metadata: { uid: string; resourceVersion: string } };
    assert.deepEqual({ ...eventVersion(text) }, { uid: metadata.uid, resourceVersion: metadata.resourceVersion });
  }
});

test('where the beginning of an event is not as usual, or the object has gone, the whole of it is read', () => {
  const { uid, resourceVersion, ...rest } = METADATA;
  const cases = {
    deletion: line('DELETED', METADATA),
    bookmark: line('BOOKMARK', { resourceVersion: '42' }),
    'other order': line('ADDED', { ...rest, resourceVersion, uid }),
    'text that looks like a field': line('ADDED', { ...METADATA, name: 'a","uid":"b' }),
    'a version that is no number': line('ADDED', { ...METADATA, resourceVersion: 'v42' }),
    'no JSON': '{"type":"ADDED"',
  };
  for (const [what, text] of Object.entries(cases)) assert.equal(eventVersion(text), null, what);
});

test('a cache knows a version that it has taken in, and any before it, of an object that is there', () => {
  const changes: CellChange[] = [];
  const cache = new CellCache(new Map(), (change) => changes.push(change));
  const sink = cache.sinkFor('ServiceAccount');
  const [, account] = renderGoal(goalOf());
  assert.ok(account && sink.knows);
  const stored = { ...account, metadata: { ...account.metadata, uid: 'u-1', resourceVersion: '42' } };
  assert.equal(sink.knows('u-1', '42'), false);
  cache.recordWrite(stored, 'hash');
  assert.deepEqual([sink.knows('u-1', '41'), sink.knows('u-1', '42'), sink.knows('u-1', '43')], [true, true, false]);
  sink.remove({ ...stored, metadata: { ...stored.metadata, resourceVersion: '44' } });
  const { name, namespace = '' } = account.metadata;
  const { objects } = cache.observe({ id: JOB_A, namespace });
  assert.equal(seenAt(objects, { kind: 'ServiceAccount', namespace, name }), undefined);
  assert.equal(sink.knows('u-1', '42'), false, 'of an object that has gone nothing is known');
});
