import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keepersOf, lastManagerOf, managedFieldsSchema, scaleManagerOf } from '../../../src/cluster/managed-fields.ts';

const entries = managedFieldsSchema.parse([
  {
    manager: 'argocd-controller',
    operation: 'Apply',
    time: '2026-11-01T10:00:00Z',
    fieldsV1: {
      'f:spec': {
        'f:container': {
          'f:image': {},
          'f:env': { 'k:{"name":"A"}': { '.': {}, 'f:name': {}, 'f:value': {} } },
          'f:args': {},
        },
      },
    },
  },
  {
    manager: 'kubectl',
    operation: 'Update',
    subresource: 'scale',
    time: '2026-11-02T10:00:00Z',
    fieldsV1: { 'f:spec': { 'f:workers': { 'f:replicas': {} } } },
  },
  {
    manager: 'bulkhead',
    operation: 'Update',
    time: '2026-11-03T10:00:00Z',
    fieldsV1: { 'f:spec': { 'f:suspended': {} }, 'f:metadata': { 'f:finalizers': {} } },
  },
  {
    manager: 'kubectl-label',
    operation: 'Update',
    time: '2026-11-04T10:00:00Z',
    fieldsV1: { 'f:metadata': { 'f:labels': {} } },
  },
]);

test('who keeps which fields of the spec is read to the last map; a list is one field, and we are nobody', () => {
  assert.deepEqual(keepersOf(entries), [
    { manager: 'argocd-controller', fields: ['container.args', 'container.env', 'container.image'] },
    { manager: 'kubectl', fields: ['workers.replicas'] },
  ]);
});

test('the last manager is the one that wrote the spec, not a label', () => {
  assert.equal(lastManagerOf(entries), 'bulkhead');
  assert.equal(lastManagerOf([]), 'unknown');
});

test('who scaled is found though the API server records no time of it', () => {
  assert.equal(scaleManagerOf(entries), 'kubectl');
  assert.equal(scaleManagerOf([]), null);
});
