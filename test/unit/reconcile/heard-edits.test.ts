import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jobId } from '../../../src/job/ids.ts';
import { HeardEdits } from '../../../src/reconcile/heard-edits.ts';
import { JOB_A, JOB_B } from '../../support/goals.ts';

const all = () => true;

test('what was edited lately is given once, the first edited first, and only to whom it concerns', () => {
  const heard = new HeardEdits(() => 0);
  for (const id of [JOB_A, JOB_B, JOB_A]) heard.add(id);
  assert.deepEqual(
    heard.take((id) => id === JOB_A),
    [JOB_A],
  );
  assert.deepEqual(heard.take(all), [JOB_B]);
  assert.deepEqual(heard.take(all), []);
});

test('an edit of long ago was served by its owner; it comes with the rest of the shard', () => {
  let now = 0;
  const heard = new HeardEdits(() => now);
  heard.add(JOB_A);
  now = 61_000;
  heard.add(JOB_B);
  assert.deepEqual(heard.take(all), [JOB_B]);
});

test('it remembers a bounded number, the newest', () => {
  const heard = new HeardEdits(() => 0);
  const ids = Array.from({ length: 5_000 }, (_, n) => jobId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`));
  for (const id of ids) heard.add(id);
  assert.deepEqual(heard.take(all), ids.slice(-1_000));
});
