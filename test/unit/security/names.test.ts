import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostilePairs, nameFindings } from '../../../security/names.ts';

const jobs = [...hostilePairs(3_000)];

test('the pairs are different jobs, the same ones for the same seed', () => {
  assert.equal(new Set(jobs.map(({ tenant, name }) => `${tenant}/${name}`)).size, 3_000);
  assert.deepEqual(jobs, [...hostilePairs(3_000)]);
});

test('names that are put together without a hash are found to meet', () => {
  assert.match(nameFindings(({ tenant, name }) => `${tenant}-${name}`.slice(0, 63), jobs).join('\n'), /both called/);
});

test('a name that is too long or no label is found', () => {
  const [job] = jobs;
  assert.ok(job);
  for (const name of ['a'.repeat(64), 'A', 'a.b', '-a', 'a-', '']) {
    assert.match(nameFindings(() => name, [job]).join(), /no DNS label/, name);
  }
});
