import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CellTenants } from '../../../src/reconcile/cell-tenants.ts';
import { JOB_A, JOB_B } from '../../support/goals.ts';

test('a namespace has one job, or two while the earlier one of the name ends', () => {
  const tenants = new CellTenants();
  tenants.add('cell', JOB_A);
  tenants.add('cell', JOB_A);
  assert.deepEqual([...tenants.of('cell')], [JOB_A]);
  tenants.add('cell', JOB_B);
  assert.deepEqual([...tenants.of('cell')], [JOB_A, JOB_B]);
  assert.deepEqual([...tenants.delete('cell', JOB_A)], [JOB_B]);
  assert.deepEqual([...tenants.of('cell')], [JOB_B]);
  assert.deepEqual([...tenants.delete('cell', JOB_B)], []);
  assert.deepEqual([...tenants.of('cell')], []);
});

test('jobs that leave are forgotten wherever they are; the others stay', () => {
  const tenants = new CellTenants();
  tenants.add('both', JOB_A);
  tenants.add('both', JOB_B);
  tenants.add('one', JOB_A);
  tenants.drop((id) => id === JOB_A);
  assert.deepEqual([[...tenants.of('both')], [...tenants.of('one')]], [[JOB_B], []]);
});
