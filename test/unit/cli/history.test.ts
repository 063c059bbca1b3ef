import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldChanges, patchText } from '../../../src/cli/field-changes.ts';
import { NO_PLATFORM } from '../../../src/cli/foresight.ts';
import { historyObject, historyTable } from '../../../src/cli/history-text.ts';
import { revisionDiff, standingAt } from '../../../src/cli/revision-diff.ts';
import { staleDiff, staleSentence } from '../../../src/cli/stale-text.ts';
import type { JobRevision } from '../../../src/job/goal.ts';
import { revision } from '../../../src/job/ids.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import { goalOf } from '../../support/goals.ts';
import { matchesGolden } from './golden.ts';
import { ago, NOW, oncall, revisionOf } from './views.ts';

const FIRST: JobSpec = { container: { image: 'registry.example/clicks:1', env: [{ name: 'LOG', value: 'info' }] } };
const SECOND: JobSpec = {
  container: {
    image: 'registry.example/clicks:2',
    env: [
      { name: 'LOG', value: 'debug' },
      { name: 'RATE', value: '5' },
    ],
  },
  workers: { replicas: 2 },
  suspended: true,
};
const { job } = goalOf();

/** One life with all that can happen in it. */
const HISTORY: readonly JobRevision[] = [
  revisionOf(1, { kind: 'spec', spec: FIRST }, { reason: 'first day', createdAt: ago(90_000) }),
  revisionOf(2, { kind: 'spec', spec: SECOND }, { createdAt: ago(80_000) }),
  revisionOf(3, oncall({ workers: { replicas: 8 }, suspended: null }), {
    author: 'bob@phone',
    source: 'oncall',
    reason: 'campaign',
    createdAt: ago(7_000),
  }),
  revisionOf(4, { kind: 'cleared', layer: 'oncall' }, { author: 'bulkhead', source: 'system', createdAt: ago(600) }),
  revisionOf(5, { kind: 'tombstone' }, { reason: 'enough', createdAt: ago(300) }),
  revisionOf(6, { kind: 'spec', spec: SECOND }, { source: 'rollback', createdAt: ago(200) }),
  revisionOf(7, { kind: 'spec', spec: FIRST }, { source: 'rollback', reason: 'to 1', createdAt: ago(100) }),
];

test('history says for each revision who changed what on which layer, how, when and why', () => {
  matchesGolden('history', historyTable(HISTORY, NOW));
});

test('history as data has the whole contents, also of what removed and cleared', () => {
  const { revisions, ...head } = historyObject(job, HISTORY) as { revisions: Record<string, unknown>[] };
  assert.deepEqual(head, { tenant: 'ads', name: 'clicks', id: job.id });
  assert.deepEqual(revisions[0]?.spec, FIRST);
  assert.deepEqual(
    [revisions[2]?.patch, revisions[2]?.until],
    [{ workers: { replicas: 8 }, suspended: null }, '2026-11-23T14:00:00.000Z'],
  );
  assert.deepEqual([revisions[3]?.cleared, revisions[4]?.removed], [true, true]);
});

test('entries of lists are compared by their names, wherever they stand', () => {
  const [a, b] = [
    { name: 'A', value: '1' },
    { name: 'B', value: '2' },
  ];
  assert.deepEqual(fieldChanges([a, b], [b, a]), []);
  assert.deepEqual(
    fieldChanges({ env: [a, b] }, { env: [{ ...a, value: '3' }] }).map(({ path }) => path),
    ['env[A].value', 'env[B]'],
  );
  assert.deepEqual(
    fieldChanges({ env: [a] }, { env: [a, b] }).map(({ path }) => path),
    ['env[B].value'],
  );
});

test('a patch of a list with names says which entry it sets and which it takes away', () => {
  const env = [
    { name: 'LOG', value: 'debug' },
    { name: 'OLD', $remove: true },
  ];
  assert.equal(patchText({ container: { env } }), 'container.env[LOG].value=debug, -container.env[OLD]');
});

test('a long patch is cut, in values and in number', () => {
  const patch = { a: 'x'.repeat(100), b: { c: 1, d: null }, e: [1, 2], f: {} };
  assert.equal(patchText(patch), `a=${'x'.repeat(40)}…, b.c=1, -b.d and 2 more`);
});

const standing = (at: number) => {
  const found = standingAt(job, HISTORY, revision(at), NO_PLATFORM);
  assert.ok(found);
  return found;
};

test('two revisions are compared as all layers had it then', () => {
  matchesGolden('diff-revisions', revisionDiff(standing(2), standing(3)));
});

test('nothing differs where an override has come and gone; a removed job is compared as nothing', () => {
  assert.equal(revisionDiff(standing(2), standing(4)), '');
  assert.match(revisionDiff(standing(4), standing(5)), /^--- ads\/clicks@4\n\+\+\+ \/dev\/null\n/);
  assert.equal(standingAt(job, HISTORY, revision(8), NO_PLATFORM), null);
});

const theirs = revisionOf(
  7,
  { kind: 'spec', spec: SECOND },
  { author: 'bob@phone', reason: 'more traffic', createdAt: ago(180) },
);
const STALE = { job, layer: 'job', base: revision(5), current: theirs, wanted: { kind: 'spec', spec: FIRST } } as const;

test('a change that came too late is answered with both sides, who came first, and what to do', () => {
  matchesGolden('stale', `${staleDiff(STALE)}error: ${staleSentence(STALE, NOW)}\n`);
});

test('too late: what was to be new is there, what was changed is gone, and both wanted the same', () => {
  assert.match(
    staleSentence({ ...STALE, base: 'none' }, NOW),
    /^ads\/clicks exists meanwhile: bob@phone stored revision 7 3m ago/,
  );
  assert.match(
    staleSentence({ ...STALE, current: null }, NOW),
    /^ads\/clicks was removed since revision 5, .*bulkhead history ads\/clicks/,
  );
  assert.equal(
    staleDiff({ ...STALE, wanted: theirs.content }),
    '# ads/clicks says already what you wanted to write.\n',
  );
  assert.match(staleDiff({ ...STALE, wanted: { kind: 'tombstone' } }), /\n\+\+\+ \/dev\/null\n/);
});

test('of two overrides the patches are compared, with their ends', () => {
  const override = revisionOf(7, oncall({ workers: { replicas: 8 } }));
  const sides = {
    job,
    layer: 'oncall',
    base: 'none',
    current: override,
    wanted: oncall({ workers: { replicas: 9 } }, null),
  } as const;
  assert.match(staleDiff(sides), /\n-# until 2026-11-23T14:00Z\n\+# until it is cleared\n/);
});
