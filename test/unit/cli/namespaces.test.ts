import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namespaceNames } from '../../../src/cli/run-command.ts';

test('--namespaces takes names of tenants’ namespaces, each once', () => {
  assert.deepEqual(namespaceNames('ads, search,ads'), ['ads', 'search']);
});

for (const text of ['', 'ads,', 'Ads', 'a_b', 'kube-system', 'bulkhead-system', 'x'.repeat(64)]) {
  test(`--namespaces does not take ${JSON.stringify(text)}: it is no tenant's namespace`, () => {
    assert.throws(() => namespaceNames(text), /Expected names of tenants' namespaces/);
  });
}
