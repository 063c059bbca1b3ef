import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compose } from '../../../src/job/merge.ts';
import { parsePatch } from '../../../src/job/patch.ts';
import { specArbitrary } from '../../support/arbitrary.ts';
import { patchArbitrary } from './layer-arbitrary.ts';

const env = (...entries: unknown[]) => ({ container: { env: entries } });

const TAKES: readonly [reason: string, patch: object][] = [
  ['nothing at all', {}],
  ['one field, though a spec needs others', { workers: { replicas: 3 } }],
  ['null for any field', { container: { image: null, probes: { liveness: null } }, workers: null, suspended: null }],
  ['part of a probe', { container: { probes: { readiness: { periodSeconds: 5 } } } }],
  ['a part of what an entry says', env({ name: 'A', secretKeyRef: { key: 'k' } })],
  ['an entry without a value: it may have one already', env({ name: 'A' })],
  ['an entry that is taken away', env({ name: 'A', $remove: true })],
  ['the marks of composed patches', env({ $replace: true }, { name: 'A', value: 'a', $replace: true })],
  ['a whole list of peers', { network: { egress: [{ cidr: '10.0.0.0/8' }] } }],
];

for (const [reason, patch] of TAKES) {
  test(`a patch may have ${reason}`, () => assert.deepEqual(parsePatch(patch), { patch, problems: [] }));
}

const REFUSES: readonly [reason: string, patch: unknown, problem: string][] = [
  ['no map', 3, 'spec: found 3, expected a map'],
  ['nothing', null, 'spec: found nothing, expected a map'],
  ['an unknown field', { workers: { replcas: 3 } }, 'spec.workers.replcas: unknown field; did you mean `replicas`?'],
  [
    'a field in the wrong place',
    { replicas: 3 },
    'spec.replicas: unknown field here; did you mean `spec.workers.replicas`?',
  ],
  [
    'fields of another list',
    env({ name: 'A', port: 1 }),
    'spec.container.env[0].port: unknown field here; did you mean `spec.container.ports[0].port`?',
  ],
  [
    'a wrong value',
    { workers: { replicas: 1001 } },
    'spec.workers.replicas: found 1001, expected a whole number from 0 to 1000',
  ],
  [
    'an entry without a name',
    env({ value: 'a' }),
    'spec.container.env[0].name: found nothing, expected the name of the entry that is meant',
  ],
  [
    'the mark of a list after its first entry',
    env({ name: 'A' }, { $replace: true }),
    'spec.container.env[1].name: found nothing, expected the name of the entry that is meant',
  ],
  [
    'a name twice',
    env({ name: 'A' }, { name: 'A', $remove: true }),
    'spec.container.env[1].name: found "A", expected a name that is used once',
  ],
  [
    'a mark that is no mark',
    env({ name: 'A', $remove: 'yes' }),
    'spec.container.env[0]["$remove"]: found "yes", expected true',
  ],
  [
    'a misspelt mark',
    env({ name: 'A', $delete: true }),
    'spec.container.env[0]["$delete"]: unknown field; expected one of name, value, secretKeyRef',
  ],
  [
    'two that exclude each other',
    env({ name: 'A', value: 'a', secretKeyRef: { key: 'k' } }),
    'spec.container.env[0]: found name and value and secretKeyRef, expected only one of value, secretKeyRef',
  ],
  [
    'null inside a list that is replaced as a whole',
    { network: { egress: [{ cidr: null, job: 'a' }] } },
    'spec.network.egress[0].cidr: found nothing, expected an IPv4 range such as 10.1.0.0/16',
  ],
  [
    'more entries than a job may have',
    env(...Array.from({ length: 257 }, (_, i) => ({ name: `A${i}` }))),
    'spec.container.env: found a list of 257, expected at most 256 entries',
  ],
  [
    'a field that is called __proto__',
    JSON.parse('{"__proto__": {"a": 1}}'),
    'spec.__proto__: unknown field; expected one of container, workers, network, isolation, suspended',
  ],
];

for (const [reason, patch, problem] of REFUSES) {
  test(`a patch may not have ${reason}`, () =>
    assert.deepEqual(parsePatch(patch), { patch: null, problems: [problem] }));
}

test('everything that is wrong is said at once, and no secret is repeated', () => {
  const { problems } = parsePatch({ ...env({ name: 'A', value: 4711 }), workers: { replicas: -1 }, tier: 'node' });
  assert.equal(problems.length, 3);
  assert.doesNotMatch(problems.join(), /4711/);
});

test('every spec is a patch too, since the definition of patches is made from that of specs', () => {
  fc.assert(
    fc.property(specArbitrary, (spec) => assert.deepEqual(parsePatch(spec), { patch: spec, problems: [] })),
    { numRuns: 300 },
  );
});

test('whatever patches are composed, the result is a patch that can be stored', () => {
  fc.assert(
    fc.property(patchArbitrary, patchArbitrary, (first, second) => {
      const both = compose(first, second);
      assert.deepEqual(parsePatch(both), { patch: both, problems: [] });
    }),
    { numRuns: 500 },
  );
});
