import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Goal } from '../../../src/job/goal.ts';
import { type Action, actionKey } from '../../../src/plan/actions.ts';
import { driftText } from '../../../src/plan/drift.ts';
import { type KubeObject, LABELS, type ObservedObject } from '../../../src/plan/objects.ts';
import { type Capabilities, plan } from '../../../src/plan/plan.ts';
import { readObject } from '../../../src/plan/seen.ts';
import { FakeCluster } from '../../../src/ports/cluster.fake.ts';
import { addressOf, change, remove, renderGoal, runningCell, terminating } from '../../support/cells.ts';
import { goalOf, JOB_B, MINIMAL, OTHER_STORE, STORE, tombstoneOf } from '../../support/goals.ts';

/** One line an action: what a case expects to read. */
const lines = (actions: readonly Action[]): string[] =>
  actions.map((a) => (a.do === 'wait' || a.do === 'noop' ? `${a.do} ${a.reason}` : `${a.do} ${actionKey(a).kind}`));

const WITH_PORT = { container: { image: 'app', ports: [{ name: 'http', port: 80 }] } };
const goal = goalOf();
const SHARED = { ...MINIMAL, isolation: { tier: 'shared' as const } };
const shared = goalOf(SHARED);
const SHARED_KINDS = ['ServiceAccount', 'NetworkPolicy', 'Deployment', 'PodDisruptionBudget'];
/** Both cells of a job that moves: complete, and the workers ready. */
const inBothPlaces = (older: Goal, newer: Goal): FakeCluster => {
  const cluster = runningCell(older);
  for (const object of renderGoal(newer)) cluster.put(object);
  cluster.finishRollouts();
  return cluster;
};
const isIn = (tier: 'namespace' | 'shared', object: KubeObject) =>
  (object.metadata.namespace === 'ads') === (tier === 'shared');
const relabel = (key: string, value: string) => (cluster: FakeCluster) =>
  change(cluster, 'Namespace', (o) => ({
    ...o,
    metadata: { ...o.metadata, labels: { ...o.metadata.labels, [key]: value } },
  }));

/** @param shown what the object's label says; null: it has none */
const withRevision =
  (shown: string | null) =>
  (o: ObservedObject): ObservedObject => {
    const { [LABELS.revision]: _before, ...labels } = o.metadata.labels ?? {};
    return {
      ...o,
      metadata: { ...o.metadata, labels: { ...labels, ...(shown !== null && { [LABELS.revision]: shown }) } },
    };
  };

interface Case {
  readonly situation: string;
  readonly because: string;
  readonly goal?: Goal;
  readonly cluster: () => FakeCluster;
  /** The namespaces that the installation sees; left out: all, and it may make more. */
  readonly namespaces?: readonly string[];
  readonly expect: readonly string[];
}

const after =
  (edit: (cluster: FakeCluster) => void, from: Goal = goal) =>
  (): FakeCluster => {
    const cluster = runningCell(from);
    edit(cluster);
    return cluster;
  };

const CASES: readonly Case[] = [
  {
    situation: 'an empty cluster',
    because: 'walls are made before workers',
    cluster: () => new FakeCluster(),
    expect: [
      'Namespace',
      'ServiceAccount',
      'ResourceQuota',
      'LimitRange',
      'NetworkPolicy',
      'Deployment',
      'PodDisruptionBudget',
    ].map((kind) => `create ${kind}`),
  },
  {
    situation: 'a running cell',
    because: 'at rest there is nothing to do',
    cluster: () => runningCell(goal),
    expect: ['noop Converged'],
  },
  {
    situation: 'workers that are not ready yet',
    because: 'waiting is said, not hidden',
    cluster: after((c) => change(c, 'Deployment', (o) => ({ ...o, status: {} }))),
    expect: ['wait WorkersStarting'],
  },
  {
    situation: 'a Deployment deleted by hand',
    because: 'what is missing is made again',
    cluster: after((c) => remove(c, 'Deployment')),
    expect: ['create Deployment'],
  },
  {
    situation: 'the number of workers changed by hand',
    because: 'the store wins',
    cluster: after((c) => change(c, 'Deployment', (o) => ({ ...o, spec: { ...(o.spec as object), replicas: 9 } }))),
    expect: ['replace Deployment'],
  },
  {
    situation: 'a hole added to the network policy by hand',
    because: 'an added field is drift as much as a changed one',
    cluster: after((c) =>
      change(c, 'NetworkPolicy', (o) => ({ ...o, spec: { ...(o.spec as object), ingress: [{}] } })),
    ),
    expect: ['replace NetworkPolicy'],
  },
  {
    situation: 'pod security switched off by hand',
    because: 'labels that enforce something are ours',
    cluster: after(relabel('pod-security.kubernetes.io/enforce', 'privileged')),
    expect: ['replace Namespace'],
  },
  {
    situation: 'a label of somebody else on the namespace',
    because: 'labels are shared; what is not ours is left alone',
    cluster: after(relabel('cost-centre', '42')),
    expect: ['noop Converged'],
  },
  {
    situation: 'a new revision that asks for nothing else',
    because: 'workers show the revision of their goal; all else shows the one that it was written for',
    goal: goalOf(MINIMAL, { revision: 2 }),
    cluster: () => runningCell(goal),
    expect: ['replace Deployment'],
  },
  {
    situation: 'walls that an earlier revision made, and later ones left alone',
    because: 'an edit writes what it changes, and that goes on to be right',
    goal: goalOf(MINIMAL, { revision: 3 }),
    cluster: () => {
      const cluster = runningCell(goalOf(MINIMAL, { revision: 3 }));
      change(cluster, 'NetworkPolicy', withRevision('2'));
      return cluster;
    },
    expect: ['noop Converged'],
  },
  ...['3', 'x', '-1', null].map((shown) => ({
    situation: `an object that shows revision ${shown} of a goal that is at 1`,
    because: 'a number from ahead, or none, would keep it from being removed later',
    cluster: after((c) => change(c, 'NetworkPolicy', withRevision(shown))),
    expect: ['replace NetworkPolicy'],
  })),
  {
    situation: 'a namespace that is being deleted',
    because: 'nothing can be made in it, and a namespace being deleted is not a command',
    cluster: after((c) => change(c, 'Namespace', terminating)),
    expect: ['wait NamespaceTerminating'],
  },
  {
    situation: 'an object that is being deleted',
    because: 'its name is taken until it is gone',
    cluster: after((c) => change(c, 'PodDisruptionBudget', terminating)),
    expect: ['wait ObjectTerminating'],
  },
  {
    situation: "another store's namespace under our name",
    because: 'a foreign object is never seized',
    cluster: after(relabel(LABELS.store, OTHER_STORE)),
    expect: ['wait ForeignObject'],
  },
  {
    situation: 'the cell of an earlier job of the same name',
    because: 'a job re-created under the same name waits for the end of its old cell',
    goal: goalOf(MINIMAL, { id: JOB_B }),
    cluster: () => runningCell(goal),
    expect: ['wait OldCellTerminating'],
  },
  {
    situation: 'somebody else owns an object with the name of a wall, and there are no workers',
    because: 'workers never run without their walls',
    cluster: after((c) => {
      remove(c, 'Deployment');
      change(c, 'NetworkPolicy', (o) => ({ ...o, metadata: { ...o.metadata, labels: {} } }));
    }),
    expect: ['wait ForeignObject'],
  },
  {
    situation: 'ports taken out of the spec',
    because: 'an edit removes the part that it no longer needs, and writes nothing that it leaves alone',
    goal: goalOf(MINIMAL, { revision: 2 }),
    cluster: () => runningCell(goalOf(WITH_PORT)),
    expect: ['replace Deployment', 'delete Service'],
  },
  {
    situation: 'more workers in a new revision',
    because: 'their wall is widened first, then they come; nothing else is written',
    goal: goalOf({ ...MINIMAL, workers: { replicas: 5 } }, { revision: 2 }),
    cluster: () => runningCell(goal),
    expect: ['replace ResourceQuota', 'replace Deployment'],
  },
  {
    situation: 'a part that a newer revision made, seen by a plan for an older one',
    because: 'a stale plan deletes nothing that it does not know',
    cluster: () => {
      const cluster = runningCell(goal);
      for (const object of runningCell(goalOf(WITH_PORT, { revision: 2 })).objects.values()) {
        if (object.kind === 'Service') cluster.put(object);
      }
      return cluster;
    },
    expect: ['noop Converged'],
  },
  {
    situation: 'an empty cluster and a job of tier shared',
    because: 'the namespace and what speaks of all of it are the tenant’s; walls are made before workers all the same',
    goal: shared,
    cluster: () => new FakeCluster(),
    expect: SHARED_KINDS.map((kind) => `create ${kind}`),
  },
  {
    situation: 'a running cell in the shared namespace, among things of other people',
    because: 'what is not in the cell is nothing to it',
    goal: shared,
    cluster: after(
      (c) => c.put({ ...renderGoal(shared)[2], metadata: { name: 'theirs', namespace: 'ads' } } as KubeObject),
      shared,
    ),
    expect: ['noop Converged'],
  },
  {
    situation: 'a tenant whose name is a namespace of Kubernetes itself',
    because: 'a tenant must not get workers into it',
    goal: goalOf(SHARED, { tenant: 'kube-system' }),
    cluster: () => new FakeCluster(),
    expect: ['wait TierNotAvailable'],
  },
  {
    situation: 'the objects of an earlier job of the same name in the shared namespace',
    because: 'its successor waits for their end and takes nothing over',
    goal: goalOf(SHARED, { id: JOB_B }),
    cluster: () => {
      const cluster = runningCell(shared);
      const objects = [...cluster.objects.values()].map(readObject);
      cluster.observe = () => ({ objects, pods: [], settled: new Map() });
      return cluster;
    },
    expect: ['ServiceAccount', 'NetworkPolicy', 'PodDisruptionBudget'].map(() => 'wait OldCellTerminating'),
  },
  {
    situation: 'a move to the shared namespace',
    because: 'the new cell is made before the old one goes',
    goal: goalOf(SHARED, { revision: 2 }),
    cluster: () => runningCell(goal),
    expect: SHARED_KINDS.map((kind) => `create ${kind}`),
  },
  {
    situation: 'a move whose new workers are not ready yet',
    because: 'the old ones run on until they are',
    goal: goalOf(SHARED, { revision: 2 }),
    cluster: () => {
      const cluster = inBothPlaces(goal, goalOf(SHARED, { revision: 2 }));
      for (const o of cluster.objects.values())
        if (o.kind === 'Deployment' && isIn('shared', o)) cluster.put({ ...o, status: {} });
      return cluster;
    },
    expect: ['wait WorkersStarting'],
  },
  {
    situation: 'a move to the shared namespace whose new workers are ready',
    because: 'only then the old namespace goes, with all that is in it',
    goal: goalOf(SHARED, { revision: 2 }),
    cluster: () => inBothPlaces(goal, goalOf(SHARED, { revision: 2 })),
    expect: ['delete Namespace'],
  },
  {
    situation: 'a move to the shared namespace, the old one ending',
    because: 'what Kubernetes works on is said',
    goal: goalOf(SHARED, { revision: 2 }),
    cluster: () => {
      const cluster = inBothPlaces(goal, goalOf(SHARED, { revision: 2 }));
      change(cluster, 'Namespace', terminating);
      return cluster;
    },
    expect: ['wait Moving'],
  },
  {
    situation: 'a move to a namespace of its own whose new workers are ready',
    because: 'the old workers go first',
    goal: goalOf(MINIMAL, { revision: 2 }),
    cluster: () => inBothPlaces(shared, goalOf(MINIMAL, { revision: 2 })),
    expect: ['delete Deployment'],
  },
  {
    situation: 'a move to a namespace of its own, the old workers ending',
    because: 'their walls stand until none of them is left',
    goal: goalOf(MINIMAL, { revision: 2 }),
    cluster: () => {
      const cluster = inBothPlaces(shared, goalOf(MINIMAL, { revision: 2 }));
      for (const o of cluster.objects.values())
        if (o.kind === 'Deployment' && isIn('shared', o)) cluster.put(terminating(o));
      return cluster;
    },
    expect: ['wait Moving'],
  },
  {
    situation: 'a move to a namespace of its own, the old workers gone',
    because: 'the walls go in the order opposite to that in which they were made',
    goal: goalOf(MINIMAL, { revision: 2 }),
    cluster: () => {
      const cluster = inBothPlaces(shared, goalOf(MINIMAL, { revision: 2 }));
      for (const [key, o] of cluster.objects)
        if (o.kind === 'Deployment' && isIn('shared', o)) cluster.objects.delete(key);
      return cluster;
    },
    expect: ['delete PodDisruptionBudget', 'delete NetworkPolicy', 'delete ServiceAccount'],
  },
  {
    situation: 'a plan of an older revision, while a newer one has begun to move back',
    because: 'a stale plan deletes nothing that it does not know',
    goal: goalOf(SHARED, { revision: 2 }),
    cluster: () => inBothPlaces(goalOf(MINIMAL, { revision: 3 }), goalOf(SHARED, { revision: 2 })),
    expect: ['noop Converged'],
  },
  {
    situation: 'a tombstone over a cell in the shared namespace',
    because: 'the workers go first, and the namespace stays',
    goal: tombstoneOf(shared),
    cluster: () => runningCell(shared),
    expect: ['delete Deployment'],
  },
  {
    situation: 'a tombstone in the middle of a move',
    because: 'what is there goes, in whichever place it is',
    goal: tombstoneOf(goalOf(SHARED, { revision: 2 })),
    cluster: () => inBothPlaces(goal, goalOf(SHARED, { revision: 2 })),
    expect: ['delete Namespace', 'delete Deployment'],
  },
  {
    situation: 'an installation that may not make namespaces, and a job that wants one of its own',
    because: 'it is told which tier there is',
    cluster: () => new FakeCluster(),
    namespaces: ['ads'],
    expect: ['wait TierNotAvailable'],
  },
  {
    situation: 'an installation that may not make namespaces, and a job of tier shared',
    because: 'all that it needs is in the tenant’s namespace',
    goal: shared,
    cluster: () => new FakeCluster(),
    namespaces: ['ads'],
    expect: SHARED_KINDS.map((kind) => `create ${kind}`),
  },
  {
    situation: 'a tenant that the installation does not see',
    because: 'nothing is made blindly',
    goal: shared,
    cluster: () => new FakeCluster(),
    namespaces: ['search'],
    expect: ['wait TenantNotServed'],
  },
  {
    situation: 'a tombstone for a tenant that the installation does not see',
    because: 'what is not seen is not called gone',
    goal: tombstoneOf(shared),
    cluster: () => new FakeCluster(),
    namespaces: ['search'],
    expect: ['wait TenantNotServed'],
  },
  {
    situation: 'a spec whose requests are above the limits',
    because: 'a goal that cannot run is said to be so and changes nothing',
    goal: goalOf({ ...MINIMAL, workers: { resources: { requests: { memory: '9Gi' } } } }),
    cluster: () => new FakeCluster(),
    expect: ['wait InvalidGoal'],
  },
  {
    situation: 'a tombstone over a running cell',
    because: 'only a tombstone deletes',
    goal: tombstoneOf(goal),
    cluster: () => runningCell(goal),
    expect: ['delete Namespace'],
  },
  {
    situation: 'a tombstone while the namespace ends',
    because: 'one delete is enough',
    goal: tombstoneOf(goal),
    cluster: after((c) => change(c, 'Namespace', terminating)),
    expect: ['wait CellTerminating'],
  },
  {
    situation: "a tombstone, and a foreign namespace under the job's name",
    because: 'what is not ours is not deleted',
    goal: tombstoneOf(goal),
    cluster: after((c) => {
      relabel(LABELS.store, OTHER_STORE)(c);
      for (const [key, object] of c.objects) if (object.kind !== 'Namespace') c.objects.delete(key);
    }),
    expect: ['noop Gone'],
  },
  {
    situation: 'a tombstone, after somebody took our label off the namespace in which the workers still run',
    because: 'a job is not called gone while anything of it is to be seen',
    goal: tombstoneOf(goal),
    cluster: after(relabel(LABELS.store, OTHER_STORE)),
    expect: ['wait ForeignObject'],
  },
  {
    situation: 'a tombstone of an earlier job while its successor runs under the same name',
    because: "a late tombstone never hits the successor's cell",
    goal: tombstoneOf(goalOf(MINIMAL, { id: JOB_B })),
    cluster: () => runningCell(goal),
    expect: ['noop Gone'],
  },
];

for (const { situation, because, goal: wanted = goal, cluster, namespaces = 'all', expect } of CASES) {
  test(`${situation}: ${because}`, () => {
    const observed = cluster().observe(addressOf(wanted));
    const capabilities: Capabilities = { namespaces };
    assert.deepEqual(lines(plan({ storeId: STORE, goal: wanted, observed, now: 0, capabilities })), expect);
  });
}

test('what the API server made of our own write is its final word, so a rewriting webhook causes no loop', async () => {
  const cluster = runningCell(goal);
  remove(cluster, 'PodDisruptionBudget');
  const [action] = plan({ storeId: STORE, goal, observed: cluster.observe(addressOf(goal)), now: 0 });
  assert.ok(action?.do === 'create');
  const rewritten = cluster.put({
    ...action.object,
    spec: { ...(action.object.spec as object), addedByWebhook: true },
  });
  assert.deepEqual(lines(plan({ storeId: STORE, goal, observed: cluster.observe(addressOf(goal)), now: 0 })), [
    'replace PodDisruptionBudget',
  ]);
  cluster.recordWrite(rewritten, action.goalHash);
  assert.deepEqual(lines(plan({ storeId: STORE, goal, observed: cluster.observe(addressOf(goal)), now: 0 })), [
    'noop Converged',
  ]);
});

test('what somebody changed is named field by field only once the object has been read', () => {
  const cluster = after((c) =>
    change(c, 'Deployment', (o) => ({ ...o, spec: { ...(o.spec as object), replicas: 9 } })),
  )();
  const seen = cluster.observe(addressOf(goal));
  const whole = [...cluster.objects.values()].map(readObject);
  const [blind] = plan({ storeId: STORE, goal, observed: seen, now: 0 });
  const [read] = plan({ storeId: STORE, goal, observed: { ...seen, objects: whole }, now: 0 });
  assert.ok(blind?.do === 'replace' && read?.do === 'replace');
  assert.deepEqual([blind.unread, blind.why], [true, 'it is not as revision 1 says']);
  assert.deepEqual([read.unread, read.why], [undefined, 'spec.replicas is 9, the goal says 1']);
  assert.deepEqual(read.object, blind.object);
});

test('why an object is written: an edit says its revision, a change by hand is looked at first', () => {
  const opened = (c: FakeCluster) => change(c, 'NetworkPolicy', (o) => ({ ...o, spec: {} }));
  const why = (of: Goal, cluster: FakeCluster): string[] =>
    plan({ storeId: STORE, goal: of, observed: cluster.observe(addressOf(of)), now: 0 }).flatMap((action) =>
      action.do === 'replace' && action.object.kind === 'NetworkPolicy' ? [action.why] : [],
    );
  const second = goalOf(MINIMAL, { revision: 2 });
  const shownSecond = after((c) => {
    change(c, 'Deployment', withRevision('2'));
    opened(c);
  });
  const withoutWorkers = after((c) => {
    remove(c, 'Deployment');
    opened(c);
  });
  assert.deepEqual(why(second, after(opened)()), ['it shows revision "1", the goal is revision "2"']);
  assert.deepEqual(why(second, shownSecond()), ['it is not as revision 2 says']);
  assert.deepEqual(why(goal, withoutWorkers()), ['it is not as revision 1 says']);
});

test('a replacement keeps what others wrote into labels, annotations and finalizers', () => {
  const cluster = after((c) =>
    change(c, 'Deployment', (o) => ({
      ...o,
      metadata: {
        ...o.metadata,
        annotations: { theirs: 'x' },
        finalizers: ['theirs/f'],
        labels: { ...o.metadata.labels, theirs: 'y' },
      },
      spec: {},
    })),
  )();
  const [action] = plan({ storeId: STORE, goal, observed: cluster.observe(addressOf(goal)), now: 0 });
  assert.ok(action?.do === 'replace');
  const { annotations, finalizers, labels, uid, resourceVersion } = action.object.metadata;
  assert.deepEqual([annotations, finalizers, labels?.theirs], [{ theirs: 'x' }, ['theirs/f'], 'y']);
  assert.ok(uid && resourceVersion, 'a replacement is bound to the object that was seen');
});

test('what an environment holds is in no sentence about drift, since people put secrets there', () => {
  const path = 'spec.template.spec.containers[0].env[0].value';
  const text = driftText([{ path, wanted: '"s3cret"', found: '"0ther"' }]);
  assert.equal(text, `${path} is not as the goal says`);
});
