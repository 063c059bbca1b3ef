import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operatorRun } from '../../e2e/operator.ts';
import { note } from '../cluster/progress.ts';

test('installed by one kubectl apply into an empty cluster, it does what kubectl asks and outlives what kubectl takes away', {
  timeout: 15 * 60_000,
}, async () => {
  const { findings } = await operatorRun({
    extent: 'sampled',
    tell: ({ held, what, seen }) => note(`  ${held ? '✓' : '✗'} ${what}: ${seen}`),
  });
  assert.deepEqual(
    findings.filter(({ held }) => !held),
    [],
  );
});
