import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { actionKey, type ClusterAction, inSteps } from '../../../src/plan/actions.ts';
import { type CellKind, keyOf } from '../../../src/plan/objects.ts';
import { renderGoal } from '../../support/cells.ts';
import { goalOf } from '../../support/goals.ts';

const rendered = new Map(renderGoal(goalOf()).map((object) => [object.kind, object]));

function write(what: 'create' | 'replace' | 'delete', kind: CellKind): ClusterAction {
  const object = rendered.get(kind);
  if (!object) throw new Error(`no ${kind} is rendered`);
  const why = 'test';
  const [uid, resourceVersion] = ['u', '1'];
  if (what === 'create') return { do: 'create', object, goalHash: 'h', why };
  if (what === 'delete') return { do: 'delete', key: keyOf(object), uid, resourceVersion, why };
  const metadata = { ...object.metadata, uid, resourceVersion };
  return { do: 'replace', object: { ...object, metadata }, goalHash: 'h', why };
}

const replace = (kind: CellKind) => write('replace', kind);
const create = (kind: CellKind) => write('create', kind);

const CASES: readonly {
  readonly why: string;
  readonly writes: readonly ClusterAction[];
  readonly sizes: readonly number[];
}[] = [
  {
    why: 'an edit of workers does not wait for their quota and limits, which stand all the while',
    writes: [replace('ResourceQuota'), replace('LimitRange'), replace('Deployment')],
    sizes: [3],
  },
  {
    why: 'who may talk to workers changes before the workers do',
    writes: [replace('ResourceQuota'), replace('NetworkPolicy'), replace('Deployment')],
    sizes: [1, 1, 1],
  },
  {
    why: 'walls that are not there are made before what stands behind them',
    writes: [create('Namespace'), create('ResourceQuota'), create('LimitRange'), create('Deployment')],
    sizes: [1, 1, 1, 1],
  },
  {
    why: 'a quota that has to be made anew is no bound yet, so the workers wait for it',
    writes: [create('ResourceQuota'), replace('Deployment')],
    sizes: [1, 1],
  },
  {
    why: 'what only shows another number comes one by one, so that it is in nobody’s way',
    writes: [replace('Deployment'), replace('ServiceAccount'), replace('PodDisruptionBudget')],
    sizes: [1, 1, 1],
  },
];

for (const { why, writes, sizes } of CASES) {
  test(why, () => {
    assert.deepEqual(
      inSteps(writes).map(({ length }) => length),
      sizes,
    );
  });
}

test('of what is written side by side the workers begin, for whom people wait', () => {
  const [step = []] = inSteps([replace('ResourceQuota'), replace('LimitRange'), replace('Deployment')]);
  assert.deepEqual(
    step.map((action) => actionKey(action).kind),
    ['Deployment', 'ResourceQuota', 'LimitRange'],
  );
});

test('steps hold every write once, and come in the order of the plan, whatever the plan', () => {
  const kinds = fc.constantFrom<CellKind>('Namespace', 'ResourceQuota', 'LimitRange', 'NetworkPolicy', 'Deployment');
  const some = fc.array(fc.tuple(fc.constantFrom('create', 'replace', 'delete'), kinds));
  fc.assert(
    fc.property(some, (pairs) => {
      const writes = pairs.map(([what, kind]) => write(what as 'create' | 'replace' | 'delete', kind));
      const planned = new Map(writes.map((action, i) => [action, i]));
      const steps = inSteps(writes).map((step) => step.map((action) => planned.get(action) ?? Number.NaN));
      assert.deepEqual(
        steps.flatMap((step) => step.toSorted((a, b) => a - b)),
        [...planned.values()],
      );
      for (const step of inSteps(writes)) assert.ok(step.length === 1 || step.every((it) => it.do === 'replace'));
    }),
  );
});
