import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compose, merge } from '../../../src/job/merge.ts';
import type { SpecPatch } from '../../../src/job/patch.ts';
import { parsePatch } from '../../../src/job/patch.ts';
import { patchArbitrary } from './layer-arbitrary.ts';

const env = (...entries: object[]): SpecPatch => ({ container: { env: entries } }) as SpecPatch;
const readiness = (probe: object | null): SpecPatch => ({ container: { probes: { readiness: probe } } }) as SpecPatch;
const A = { name: 'A', value: 'a' };
const B = { name: 'B', value: 'b' };
const C = { name: 'C', value: 'c' };
const SECRET = { name: 's', key: 'k' };

const MERGES: readonly [reason: string, base: SpecPatch, patch: SpecPatch, merged: SpecPatch][] = [
  ['maps merge field by field', { a: { b: 1, c: 2 } }, { a: { c: 3, d: 4 } }, { a: { b: 1, c: 3, d: 4 } }],
  ['null takes a field away', { a: { b: 1, c: 2 } }, { a: { b: null } }, { a: { c: 2 } }],
  ['null where nothing is changes nothing', { a: 1 }, { b: null }, { a: 1 }],
  ['what is new holds no null', {}, { a: { b: null, c: 1 } }, { a: { c: 1 } }],
  ['a single value is replaced', { a: 1 }, { a: 'x' }, { a: 'x' }],
  ['a map replaces what is no map', { a: [1] }, { a: { b: 1 } }, { a: { b: 1 } }],
  ['a list without names is replaced as a whole', { a: [1, 2] }, { a: [3] }, { a: [3] }],
  [
    'entries stay in the order of the base, new ones follow',
    env(A, B),
    env(C, { name: 'A', value: 'x' }),
    env({ name: 'A', value: 'x' }, B, C),
  ],
  ['$remove takes an entry away', env(A, B, C), env({ name: 'B', $remove: true }), env(A, C)],
  ['$remove of what is not there changes nothing', env(A), env({ name: 'B', $remove: true }), env(A)],
  ['a list by name can be taken away', env(A), { container: { env: null } }, { container: {} }],
  ['a list by name is there also where the base has none', {}, env(A, { name: 'B', $remove: true }), env(A)],
  [
    'ports are known by name too',
    { container: { ports: [{ name: 'a', port: 1 }] } },
    { container: { ports: [{ name: 'a', protocol: 'UDP' }] } },
    { container: { ports: [{ name: 'a', port: 1, protocol: 'UDP' }] } },
  ],
  [
    'a secret in place of a value',
    env(A),
    env({ name: 'A', secretKeyRef: SECRET }),
    env({ name: 'A', secretKeyRef: SECRET }),
  ],
  ['a value in place of a secret', env({ name: 'A', secretKeyRef: SECRET }), env(A), env(A)],
  [
    'part of a secret keeps the rest',
    env({ name: 'A', secretKeyRef: SECRET }),
    env({ name: 'A', secretKeyRef: { key: 'j' } }),
    env({ name: 'A', secretKeyRef: { name: 's', key: 'j' } }),
  ],
  [
    'one kind of probe in place of another; what is beside it stays',
    readiness({ httpGet: { path: '/', port: 1 }, periodSeconds: 2 }),
    readiness({ exec: { command: ['x'] } }),
    readiness({ exec: { command: ['x'] }, periodSeconds: 2 }),
  ],
  ['$replace drops what a map was', { a: { b: 1 } }, { a: { c: 2, $replace: true } }, { a: { c: 2 } }],
  [
    '$replace drops what an entry was and where it stood',
    env(A, B),
    env({ name: 'A', secretKeyRef: SECRET, $replace: true }),
    env(B, { name: 'A', secretKeyRef: SECRET }),
  ],
  ['$replace without a name drops the whole list', env(A, B), env({ $replace: true }, C), env(C)],
  ['marks in a base are no fields', { a: { $replace: true, b: 1 }, $remove: true }, {}, { a: { b: 1 } }],
];

for (const [reason, base, patch, merged] of MERGES) {
  test(`merge: ${reason}`, () => assert.deepEqual(merge(base, patch), merged));
}

const COMPOSITIONS: readonly [reason: string, first: SpecPatch, second: SpecPatch, both: SpecPatch][] = [
  ['the later one wins', { a: 1 }, { a: 2 }, { a: 2 }],
  [
    'what was taken away and is a map again forgets what was below',
    { a: null },
    { a: { b: 1 } },
    { a: { b: 1, $replace: true } },
  ],
  [
    'an entry that is taken away and comes back goes to the end',
    env({ name: 'A', $remove: true }, B),
    env(A),
    env(B, { ...A, $replace: true }),
  ],
  [
    'a list that is taken away and comes back begins anew',
    { container: { env: null } },
    env(A),
    env({ $replace: true }, A),
  ],
  [
    'what is taken away in the end needs no more words',
    env(A, B),
    env({ name: 'A', $remove: true }),
    env(B, { name: 'A', $remove: true }),
  ],
  [
    'a patch alone stays as people wrote it',
    {},
    env(A, { name: 'B', $remove: true }),
    env(A, { name: 'B', $remove: true }),
  ],
];

for (const [reason, first, second, both] of COMPOSITIONS) {
  test(`compose: ${reason}`, () => {
    assert.deepEqual(compose(first, second), both);
    const { patch, problems } = parsePatch(both);
    // A composed patch is stored like any other. (The first two speak of fields that no job has.)
    if (!('a' in both)) assert.deepEqual([patch, problems], [both, []]);
  });
}

test('fields that would reach the prototype of every map are no fields, and none is touched', () => {
  const hostile = JSON.parse(
    '{"__proto__": {"polluted": 1}, "a": {"__proto__": {"polluted": 1}, "constructor": {"b": 1}}}',
  );
  const merged = merge(merge({}, hostile), hostile);
  assert.equal(JSON.stringify(merged), '{"a":{"constructor":{"b":1}}}');
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
});

function freeze<T>(value: T): T {
  if (value !== null && typeof value === 'object') Object.values(Object.freeze(value)).forEach(freeze);
  return value;
}

/** The laws, for one base and three patches. Frozen, so that a merge that changed what it was given would throw. */
function checkLaws(base: SpecPatch, p: SpecPatch, q: SpecPatch, r: SpecPatch): void {
  for (const value of [base, p, q, r]) freeze(value);
  const [pq, qr] = [compose(p, q), compose(q, r)];
  const pqr = compose(pq, r);
  assert.deepEqual(compose(p, qr), pqr);
  const two = merge(merge(base, p), q);
  assert.deepEqual(merge(base, pq), two);
  const three = merge(two, r);
  assert.deepEqual(merge(base, pqr), three);
  assert.deepEqual(merge(two, r), three);
  assert.doesNotMatch(JSON.stringify(three), /null|\$remove|\$replace/);
}

const MERGE_RUNS = 10_000;
test(`${MERGE_RUNS.toLocaleString('en-US')} random layer merges: deterministic, one after the other is the same as composed, and composing is associative`, () => {
  const property = fc.property(patchArbitrary, patchArbitrary, patchArbitrary, patchArbitrary, checkLaws);
  fc.assert(property, { numRuns: MERGE_RUNS });
});

const word = fc.constantFrom(
  'container',
  'env',
  'ports',
  'probes',
  'readiness',
  'name',
  'value',
  'secretKeyRef',
  'httpGet',
  'exec',
  '$remove',
  '$replace',
  '__proto__',
  'constructor',
);
const { anything } = fc.letrec<{ anything: unknown }>((tie) => ({
  anything: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<unknown>(null, true, 'A', 'B', 1),
    fc.dictionary(word, tie('anything'), { maxKeys: 4 }),
    fc.array(tie('anything'), { maxLength: 3 }),
  ),
}));
const anyMap = fc.dictionary(word, anything, { maxKeys: 4 }) as fc.Arbitrary<SpecPatch>;
/** Where lists by name are expected, whatever. */
const anyPatch = fc.oneof(
  anyMap,
  fc.record({ container: fc.record({ env: anything, probes: anyMap }) }),
) as typeof anyMap;

const JUNK_RUNS = 2_000;
test(`${JUNK_RUNS.toLocaleString('en-US')} merges of what is no patch at all: nothing is thrown, and the same laws hold`, () => {
  fc.assert(fc.property(anyPatch, anyPatch, anyPatch, anyPatch, checkLaws), { numRuns: JUNK_RUNS });
});
