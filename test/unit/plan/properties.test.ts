import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { effectiveSpec } from '../../../src/job/defaults.ts';
import type { Goal } from '../../../src/job/goal.ts';
import { type Action, isClusterAction } from '../../../src/plan/actions.ts';
import { cellPlace } from '../../../src/plan/names.ts';
import { isTerminating, type KubeObject, keyOf, keyText } from '../../../src/plan/objects.ts';
import { plan } from '../../../src/plan/plan.ts';
import { renderCell } from '../../../src/plan/render/cell.ts';
import { seenObject } from '../../../src/plan/seen.ts';
import { FakeCluster } from '../../../src/ports/cluster.fake.ts';
import { specArbitrary } from '../../support/arbitrary.ts';
import { addressOf, podOf, tenantNamespace } from '../../support/cells.ts';
import { FENCE_A, goalOf, JOB_A, JOB_B, STORE, tombstoneOf } from '../../support/goals.ts';

const RUNS = { numRuns: 300 };
const NOW = 1_700_000_000_000;

const planFor = (goal: Goal, cluster: FakeCluster): Action[] =>
  plan({ storeId: STORE, goal, observed: cluster.observe(addressOf(goal)), now: NOW });

const cellOf = (goal: Goal): KubeObject[] => {
  if (goal.content.kind !== 'spec') throw new Error('a tombstone has no cell');
  return renderCell({ storeId: STORE, job: goal.job, revision: goal.revision, spec: effectiveSpec(goal.content.spec) });
};

/** Applies plans until there is nothing to write. @returns how many rounds it took; throws past the bound */
async function converge(goal: Goal, cluster: FakeCluster, bound: number): Promise<number> {
  for (let round = 0; round < bound; round += 1) {
    const writes = planFor(goal, cluster).filter(isClusterAction);
    if (writes.length === 0) return round;
    for (const action of writes) await cluster.execute(action, FENCE_A);
  }
  throw new Error(`no fixpoint within ${bound} rounds: ${JSON.stringify(planFor(goal, cluster), null, 1)}`);
}

/** Lets Kubernetes do its part: workers start, and what is being deleted goes. A move takes three rounds of it. */
async function settle(goal: Goal, cluster: FakeCluster): Promise<void> {
  for (let round = 0; round < 4; round += 1) {
    cluster.finishRollouts();
    cluster.finishTerminations();
    await converge(goal, cluster, 3);
  }
}

/** What may have happened to one object before we look: still there, missing, or changed by hand. */
const fate = fc.constantFrom('there', 'missing', 'label changed', 'body changed', 'field added');

function meddle(object: KubeObject, what: string): KubeObject {
  switch (what) {
    case 'label changed':
      return {
        ...object,
        metadata: { ...object.metadata, labels: { ...object.metadata.labels, 'bulkhead.dev/tenant': 'x' } },
      };
    case 'body changed':
      return { ...object, spec: { changed: 'by hand' } };
    case 'field added':
      return { ...object, spec: { ...(object.spec as object | undefined), addedByHand: true } };
    default:
      return object;
  }
}

/** Any half-built, half-broken state of the cell, made from an older revision of the job. */
function anyState(older: Goal, fates: readonly string[]): FakeCluster {
  const cluster = new FakeCluster();
  cluster.put(tenantNamespace(older.job.tenant));
  for (const [index, object] of cellOf(older).entries()) {
    const what = fates[index % fates.length] ?? 'there';
    // Without the namespace, which is the first, nothing else can be there.
    if (what === 'missing' && object.kind === 'Namespace') break;
    if (what !== 'missing') cluster.put(meddle(object, what));
  }
  return cluster;
}

const fates = fc.array(fate, { minLength: 1, maxLength: 9 });

test('applying plans converges within two rounds from any half-built state, and the plan is then empty', async () => {
  await fc.assert(
    fc.asyncProperty(specArbitrary, specArbitrary, fates, async (before, after, states) => {
      const cluster = anyState(goalOf(before), states);
      const goal = goalOf(after, { revision: 2 });
      assert.ok((await converge(goal, cluster, 3)) <= 2);
      await settle(goal, cluster);
      assert.deepEqual(planFor(goal, cluster), [{ do: 'noop', reason: 'Converged' }]);
    }),
    RUNS,
  );
});

test('the plan is a function of its input: the same goal and observation give the same plan to the byte', () => {
  fc.assert(
    fc.property(specArbitrary, fates, (spec, states) => {
      const goal = goalOf(spec);
      assert.equal(
        JSON.stringify(planFor(goal, anyState(goal, states))),
        JSON.stringify(planFor(goal, anyState(goal, states))),
      );
    }),
    RUNS,
  );
});

test('whatever happens to job B, the plan for job A does not change', () => {
  fc.assert(
    fc.property(specArbitrary, specArbitrary, fates, fates, (specA, specB, statesA, statesB) => {
      const goalA = goalOf(specA, { id: JOB_A, name: 'a' });
      const goalB = goalOf(specB, { id: JOB_B, name: 'b' });
      const alone = anyState(goalA, statesA);
      const together = anyState(goalA, statesA);
      for (const object of anyState(goalB, statesB).objects.values()) together.put(object);
      const objects = [...together.objects.values()].map((object) => seenObject(object.kind, object));
      const everything = { objects, pods: [], settled: new Map() };
      assert.deepEqual(
        plan({ storeId: STORE, goal: goalA, observed: everything, now: NOW }).map((a) => JSON.stringify(a)),
        planFor(goalA, alone).map((a) => JSON.stringify(a)),
      );
    }),
    RUNS,
  );
});

test('deletion ends from any state: Kubernetes does its part, then the job is gone', async () => {
  await fc.assert(
    fc.asyncProperty(specArbitrary, fates, async (spec, states) => {
      const goal = goalOf(spec);
      const cluster = anyState(goal, states);
      const tombstone = tombstoneOf(goal);
      const first = planFor(tombstone, cluster).filter(isClusterAction);
      assert.ok(first.length <= 1 || first.every(({ do: verb }) => verb === 'delete'));
      await settle(tombstone, cluster);
      assert.deepEqual(planFor(tombstone, cluster), [{ do: 'noop', reason: 'Gone' }]);
    }),
    RUNS,
  );
});

test('without a tombstone no observation, however empty or stale, deletes anything of the revision that is wanted', () => {
  fc.assert(
    fc.property(specArbitrary, fates, (spec, states) => {
      const goal = goalOf(spec);
      assert.ok(planFor(goal, new FakeCluster()).every((a) => a.do === 'create'));
      assert.ok(planFor(goal, anyState(goal, states)).every((a) => a.do !== 'delete'));
    }),
    RUNS,
  );
});

test('an edit deletes only what the new revision has no more, never the namespace, the workers or a wall', () => {
  fc.assert(
    fc.property(specArbitrary, specArbitrary, fates, (before, after, states) => {
      const cluster = anyState(goalOf(before), states);
      const deletes = planFor(goalOf(after, { revision: 2 }), cluster).filter((a) => a.do === 'delete');
      assert.ok(deletes.every((a) => a.key.kind === 'Service'));
    }),
    RUNS,
  );
});

test('workers are never made before all of the walls around them are there', () => {
  fc.assert(
    fc.property(specArbitrary, fates, (spec, states) => {
      const order = planFor(goalOf(spec), anyState(goalOf(spec), states)).flatMap((a) =>
        a.do === 'create' ? [a.object.kind] : [],
      );
      const workers = order.indexOf('Deployment');
      const walls = ['Namespace', 'ServiceAccount', 'ResourceQuota', 'LimitRange', 'NetworkPolicy'];
      assert.ok(workers < 0 || walls.every((wall) => order.lastIndexOf(wall as KubeObject['kind']) < workers));
    }),
    RUNS,
  );
});

/** One event in the life of a job that moves between tiers: some actions of a plan (then a crash), or Kubernetes' part. */
const event = fc.oneof(
  fc.record({ do: fc.constant('apply' as const), most: fc.nat({ max: 8 }) }),
  fc.record({ do: fc.constantFrom('rollouts' as const, 'terminations' as const, 'move' as const) }),
);

const inTier = (tier: 'namespace' | 'shared', revision: number): Goal =>
  goalOf({ container: { image: 'app', ports: [{ name: 'http', port: 80 }] }, isolation: { tier } }, { revision });

/** Deployments whose workers run and that nobody is deleting, by their namespace. */
const working = (cluster: FakeCluster): string[] =>
  [...cluster.objects.values()]
    .filter((o) => o.kind === 'Deployment' && !isTerminating(o) && !isTerminating(namespaceAround(cluster, o) ?? o))
    .filter((o) => ((o.status as { readyReplicas?: number } | undefined)?.readyReplicas ?? 0) > 0)
    .map((o) => o.metadata.namespace ?? '');

const namespaceAround = (cluster: FakeCluster, { metadata }: KubeObject) =>
  [...cluster.objects.values()].find(
    ({ kind, metadata: { name } }) => kind === 'Namespace' && name === metadata.namespace,
  );

test('a job that moves between tiers, whatever breaks in between, always has workers and ends in the right place alone', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 30 }), async (events) => {
      const cluster = new FakeCluster();
      cluster.put(tenantNamespace('ads'));
      let tier: 'namespace' | 'shared' = 'namespace';
      let goal = inTier(tier, 1);
      await converge(goal, cluster, 3);
      cluster.finishRollouts();
      for (const it of events) {
        if (it.do === 'rollouts') cluster.finishRollouts();
        if (it.do === 'terminations') cluster.finishTerminations();
        if (it.do === 'move') {
          tier = tier === 'namespace' ? 'shared' : 'namespace';
          goal = inTier(tier, goal.revision + 1);
        }
        if (it.do === 'apply') {
          for (const action of planFor(goal, cluster).filter(isClusterAction).slice(0, it.most)) {
            await cluster.execute(action, FENCE_A);
          }
        }
        assert.ok(working(cluster).length > 0, `no workers are left after ${JSON.stringify(it)}`);
      }
      await settle(goal, cluster);
      await settle(goal, cluster);
      assert.deepEqual(planFor(goal, cluster), [{ do: 'noop', reason: 'Converged' }]);
      assert.deepEqual(working(cluster), [cellPlace(STORE, goal.job, tier).namespace]);
      const rest = [...cluster.objects.keys()].sort();
      assert.deepEqual(
        rest,
        cellOf(goal)
          .map((object) => keyText(keyOf(object)))
          .concat(keyText(keyOf(tenantNamespace('ads'))))
          .sort(),
      );
    }),
    RUNS,
  );
});

test('in a shared namespace no wall goes while a worker is left that it stands around', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.boolean(), (hasWorkers, isRemoved) => {
      const shared = inTier('shared', 1);
      const cluster = anyState(shared, ['there']);
      const goal = isRemoved ? tombstoneOf(shared) : inTier('namespace', 2);
      for (const object of cellOf(goalOf())) if (!isRemoved) cluster.put(object);
      cluster.finishRollouts();
      for (const [key, { kind }] of cluster.objects)
        if (kind === 'Deployment' && !hasWorkers) cluster.objects.delete(key);
      cluster.pods = [{ ...podOf(shared), namespace: 'ads' }];
      const walls = planFor(goal, cluster).filter(
        (a) => a.do === 'delete' && a.key.namespace === 'ads' && a.key.kind !== 'Deployment',
      );
      assert.deepEqual(walls, []);
    }),
  );
});
