import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson, contentHash } from '../../../src/job/canonical.ts';

const reversed = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(reversed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, reversed(inner)]),
  );
};

/** `__proto__` is no field in any of our documents, and Object.fromEntries and assignment treat it apart. */
const json = fc.jsonValue().filter((value) => !JSON.stringify(value).includes('__proto__'));

test('the order of fields does not matter, at any depth', () => {
  fc.assert(
    fc.property(json, (value) => {
      assert.equal(canonicalJson(reversed(value)), canonicalJson(value));
      assert.equal(contentHash(reversed(value)), contentHash(value));
    }),
  );
});

test('nothing is lost: the text is JSON of the same value', () => {
  fc.assert(
    fc.property(json, (value) => {
      assert.deepEqual(JSON.parse(canonicalJson(value)), JSON.parse(JSON.stringify(value)));
    }),
  );
});

test('fields are sorted, lists are not, and what is undefined is left out', () => {
  assert.equal(canonicalJson({ b: [2, 1], a: { d: undefined, c: null } }), '{"a":{"c":null},"b":[2,1]}');
  assert.notEqual(contentHash([1, 2]), contentHash([2, 1]));
});

test('fields whose names are numbers have one order too', () => {
  assert.equal(canonicalJson({ 10: 1, 9: 2, a: 3 }), canonicalJson({ a: 3, 9: 2, 10: 1 }));
});

test('the hash is that of the text, so that other programs can make it too', () => {
  assert.equal(contentHash({}), '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a');
  assert.equal(contentHash({ b: 1, a: 'é' }), contentHash({ a: '\u00e9', b: 1 }));
});

test('text is compared letter by letter: a composed é is not an e with an accent', () => {
  assert.notEqual(contentHash('\u00e9'), contentHash('e\u0301'));
});
