import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { editDistance, nearest } from '../../../src/job/suggest.ts';

const DISTANCES: readonly [left: string, right: string, distance: number, reason: string][] = [
  ['replicas', 'replicas', 0, 'the same'],
  ['replica', 'replicas', 1, 'a letter left out'],
  ['replicass', 'replicas', 1, 'a letter too many'],
  ['replikas', 'replicas', 1, 'another letter'],
  ['replcias', 'replicas', 1, 'two neighbours swapped'],
  ['httpget', 'httpGet', 0, 'upper and lower case are the same'],
  ['', 'env', 3, 'nothing'],
  ['kitten', 'sitting', 3, 'the textbook'],
];

for (const [left, right, distance, reason] of DISTANCES) {
  test(`${distance} between ${JSON.stringify(left)} and ${JSON.stringify(right)}: ${reason}`, () => {
    assert.equal(editDistance(left, right), distance);
    assert.equal(editDistance(right, left), distance);
  });
}

test('the distance is 0 for the same word only, and never more than the longer word', () => {
  const word = fc.stringMatching(/^[a-z]{0,12}$/);
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b);
      assert.equal(distance === 0, a === b);
      assert.ok(distance <= Math.max(a.length, b.length));
      assert.ok(distance >= Math.abs(a.length - b.length));
    }),
  );
});

const FIELDS = ['container', 'workers', 'network', 'isolation', 'suspended', 'env'];

test('a misspelt field is found, the nearest one first', () => {
  assert.equal(nearest('contaner', FIELDS), 'container');
  assert.equal(nearest('Suspend', FIELDS), 'suspended');
  assert.equal(nearest('evn', FIELDS), 'env');
  assert.equal(nearest('abd', ['abc', 'abd']), 'abd');
});

test('a word that resembles nothing gets no suggestion: a wrong one is worse than none', () => {
  for (const word of ['', 'x', 'replicas', 'restartPolicy', 'en'.repeat(50_000)])
    assert.equal(nearest(word, FIELDS), null);
});
