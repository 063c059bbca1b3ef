import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cellPlace, isReserved } from '../../../src/plan/names.ts';
import { OTHER_STORE, STORE } from '../../support/goals.ts';

const LABEL = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;
const label = fc.stringMatching(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/);

test('every name of a cell is a DNS label of at most 63 characters with a letter first, as a Service asks', () => {
  fc.assert(
    fc.property(label, label, fc.constantFrom('namespace', 'shared'), (tenant, name, tier) => {
      const place = cellPlace(STORE, { tenant, name }, tier);
      assert.match(place.name, LABEL);
      assert.match(place.namespace, LABEL);
    }),
  );
});

test('in a shared namespace jobs differ in their names, and so do two stores with a job of one name', () => {
  const long = 'a'.repeat(62);
  const names = [
    cellPlace(STORE, { tenant: 'ads', name: `${long}b` }, 'shared'),
    cellPlace(STORE, { tenant: 'ads', name: `${long}c` }, 'shared'),
    cellPlace(OTHER_STORE, { tenant: 'ads', name: `${long}b` }, 'shared'),
  ].map(({ name }) => name);
  assert.equal(new Set(names).size, 3);
});

test('no tenant has Kubernetes’ own namespaces, Bulkhead’s, or one that is a cell', () => {
  const cell = cellPlace(STORE, { tenant: 'ads', name: 'clicks' }, 'namespace').namespace;
  const names = ['kube-system', 'kube-public', 'bulkhead-system', cell];
  assert.deepEqual(names.filter(isReserved), names);
  assert.deepEqual(['ads', 'default', 'bh-ads', 'kubernetes'].filter(isReserved), []);
});
