import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalQuantity, isQuantity, multiplyQuantity, quantityMilli } from '../../../src/job/quantity.ts';

/** What k8s.io/apimachinery v0.36.3 (resource.Quantity) makes of each text; made with the Go module itself. */
const FROM_KUBERNETES: readonly [written: string, canonical: string][] = [
  ['0', '0'],
  ['0m', '0'],
  ['0Ki', '0'],
  ['1', '1'],
  ['0.5', '500m'],
  ['00.5', '500m'],
  ['0.001', '1m'],
  ['1.000', '1'],
  ['1.10', '1100m'],
  ['1000m', '1'],
  ['1500m', '1500m'],
  ['1024m', '1024m'],
  ['1.5k', '1500'],
  ['0.1k', '100'],
  ['0.0005k', '500m'],
  ['1.0001k', '1000100m'],
  ['1000k', '1M'],
  ['100000', '100k'],
  ['1000M', '1G'],
  ['1000T', '1P'],
  ['128974848', '128974848'],
  ['1023', '1023'],
  ['1024', '1024'],
  ['1Ki', '1Ki'],
  ['0.5Ki', '512'],
  ['0.001Ki', '1024m'],
  ['1.5Ki', '1536'],
  ['1023Ki', '1023Ki'],
  ['1024Ki', '1Mi'],
  ['0.125Mi', '128Ki'],
  ['1000Mi', '1000Mi'],
  ['1536Mi', '1536Mi'],
  ['2048Mi', '2Gi'],
  ['0.1Gi', '107374182400m'],
  ['1.5Gi', '1536Mi'],
  ['1048576Ki', '1Gi'],
  ['1024Gi', '1Ti'],
  ['1024Ti', '1Pi'],
  ['8Pi', '8Pi'],
];

for (const [written, canonical] of FROM_KUBERNETES) {
  test(`${written} is ${canonical}, as Kubernetes has it, or reading it back would look like drift`, () => {
    assert.equal(canonicalQuantity(written), canonical);
    assert.equal(canonicalQuantity(canonical), canonical);
    assert.equal(quantityMilli(canonical), quantityMilli(written));
  });
}

const REFUSED: readonly [reason: string, text: string][] = [
  ['nothing is no number', ''],
  ['a suffix alone is no number', 'Mi'],
  ['blanks', '1 Gi'],
  ['blanks at the end', '1Gi\n'],
  ['less than nothing', '-1'],
  ['a plus sign', '+1'],
  ['an exponent', '1e3'],
  ['a unit', '1GB'],
  ['a suffix in the wrong case', '1gi'],
  ['no digit before the point', '.5'],
  ['no digit after the point', '5.'],
  ['less than a thousandth', '0.0001'],
  ['a part of a thousandth', '1.23456Mi'],
  ['more than 63 bits of thousandths, which the API server may cut', '9Pi'],
  ['much more', '9999E'],
  ['many digits', '1'.repeat(100)],
];

for (const [reason, text] of REFUSED) {
  test(`no quantity: ${reason}`, () => {
    assert.equal(isQuantity(text), false);
    assert.throws(() => canonicalQuantity(text), TypeError);
    assert.throws(() => quantityMilli(text), TypeError);
    assert.throws(() => multiplyQuantity(text, 2), TypeError);
  });
}

const SUFFIXES = ['m', '', 'k', 'M', 'G', 'T', 'P', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'];
const written = fc
  .tuple(fc.nat(2 ** 30), fc.option(fc.nat(9999), { nil: null }), fc.constantFrom(...SUFFIXES))
  .map(([whole, fraction, suffix]) => `${whole}${fraction === null ? '' : `.${fraction}`}${suffix}`)
  .filter(isQuantity);

test('the canonical form has the same value and is its own canonical form', () => {
  fc.assert(
    fc.property(written, (text) => {
      const canonical = canonicalQuantity(text);
      assert.equal(quantityMilli(canonical), quantityMilli(text));
      assert.equal(canonicalQuantity(canonical), canonical);
    }),
  );
});

test('equal values of one kind have one canonical form, so that comparing texts compares values', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31 - 1), (bytes) => {
      assert.equal(canonicalQuantity(`${bytes * 1024}`), canonicalQuantity(`${bytes * 1_024_000}m`));
      assert.equal(canonicalQuantity(`${bytes}Ki`), canonicalQuantity(`${bytes}.0Ki`));
    }),
  );
});

test('a multiple has the value of all workers together, in canonical form', () => {
  fc.assert(
    fc.property(written, fc.integer({ min: 0, max: 1000 }), (text, factor) => {
      const product = quantityMilli(text) * BigInt(factor);
      fc.pre(product < 2n ** 63n);
      const multiple = multiplyQuantity(text, factor);
      assert.equal(quantityMilli(multiple), product);
      assert.equal(canonicalQuantity(multiple), multiple);
    }),
  );
});
