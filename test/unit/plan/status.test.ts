import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Goal } from '../../../src/job/goal.ts';
import { clusterId } from '../../../src/job/ids.ts';
import type { JobStatus } from '../../../src/job/status.ts';
import { cellNamespace } from '../../../src/plan/names.ts';
import type { ContainerState, ObservedPod } from '../../../src/plan/observation.ts';
import { plan } from '../../../src/plan/plan.ts';
import { status, withheldStatus } from '../../../src/plan/status.ts';
import { FakeCluster } from '../../../src/ports/cluster.fake.ts';
import { addressOf, change, podOf, runningCell, terminating } from '../../support/cells.ts';
import { goalOf, MINIMAL, STORE, tombstoneOf } from '../../support/goals.ts';

const CLUSTER = clusterId('00000000-0000-4000-8000-0000000000cc');
const goal = goalOf();

function statusOf(of: Goal, cluster: FakeCluster, previous: JobStatus | null = null, now = 0): JobStatus {
  const observed = cluster.observe(addressOf(of));
  const actions = plan({ storeId: STORE, goal: of, observed, now });
  return status({
    storeId: STORE,
    clusterId: CLUSTER,
    goal: of,
    observed,
    actions,
    failure: null,
    previous,
    keepers: [],
    now,
  });
}

const summary = (s: JobStatus): string =>
  `${s.phase} ${s.conditions.map((c) => `${c.type}=${c.status}`).join(',')} ${s.conditions[0]?.reason}`;

function withPod(pod: Partial<ObservedPod>): FakeCluster {
  const cluster = runningCell(goal);
  change(cluster, 'Deployment', (o) => ({ ...o, status: {} }));
  cluster.pods = [podOf(goal, pod)];
  return cluster;
}

const container = (state: Partial<ContainerState>): Partial<ObservedPod> => ({
  container: { waitingReason: null, waitingMessage: null, lastExit: null, ...state },
});
const crashed = (reason: string, exitCode: number, message = '') =>
  container({ waitingReason: 'CrashLoopBackOff', lastExit: { reason, exitCode, message } });

const CASES: readonly (readonly [situation: string, goal: Goal, cluster: FakeCluster, expected: string])[] = [
  ['nothing is there yet', goal, new FakeCluster(), 'Pending Ready=False,Reconciling=True Applying'],
  ['all workers are ready', goal, runningCell(goal), 'Running Ready=True WorkersReady'],
  ['workers are starting', goal, withPod({}), 'Progressing Ready=False,Reconciling=True WorkersStarting'],
  [
    'the job is suspended',
    goalOf({ ...MINIMAL, suspended: true }),
    runningCell(goalOf({ ...MINIMAL, suspended: true })),
    'Suspended Ready=False Suspended',
  ],
  ['the job is removed and gone', tombstoneOf(goal), new FakeCluster(), 'Gone Ready=False Removed'],
  ['the job is being removed', tombstoneOf(goal), runningCell(goal), 'Deleting Ready=False,Reconciling=True Removing'],
  [
    'the image cannot be had',
    goal,
    withPod(container({ waitingReason: 'ImagePullBackOff', waitingMessage: 'no such image' })),
    'Degraded Ready=False,Stalled=True ImagePullFailed',
  ],
  [
    'a Secret is missing',
    goal,
    withPod(container({ waitingReason: 'CreateContainerConfigError', waitingMessage: 'secret "db" not found' })),
    'Degraded Ready=False,Stalled=True SecretMissing',
  ],
  [
    'the kubelet refuses an image that runs as root',
    goal,
    withPod(
      container({
        waitingReason: 'CreateContainerConfigError',
        waitingMessage: 'container has runAsNonRoot and image will run as root',
      }),
    ),
    'Degraded Ready=False,Stalled=True RootRequired',
  ],
  [
    'the program says that it must be root',
    goal,
    withPod(crashed('Error', 1, 'this program must run as root')),
    'Degraded Ready=False,Stalled=True RootRequired',
  ],
  [
    'the kernel killed a worker',
    goal,
    withPod(crashed('OOMKilled', 137)),
    'Degraded Ready=False,Stalled=True OutOfMemory',
  ],
  ['a worker crashes', goal, withPod(crashed('Error', 2, 'boom')), 'Degraded Ready=False,Stalled=True Crashing'],
  ['no node fits', goal, withPod({ unschedulable: '0/1 nodes' }), 'Degraded Ready=False,Stalled=True Unschedulable'],
];

for (const [situation, of, cluster, expected] of CASES) {
  test(`${situation}: ${expected}`, () => assert.equal(summary(statusOf(of, cluster)), expected));
}

test('SecretMissing says the command that is enough: with every key of the Secret, or with the one it lacks', () => {
  const env = ['user', 'password', 'user'].map((key, index) => ({
    name: `V${index}`,
    secretKeyRef: { name: 'db', key },
  }));
  const of = goalOf({ container: { ...MINIMAL.container, env } });
  const namespace = cellNamespace(STORE, of.job);
  const said = (waitingMessage: string): string => {
    const cluster = runningCell(of);
    change(cluster, 'Deployment', (o) => ({ ...o, status: {} }));
    cluster.pods = [podOf(of, container({ waitingReason: 'CreateContainerConfigError', waitingMessage }))];
    return statusOf(of, cluster).conditions[0]?.message.split(' with: ').at(-1) ?? '';
  };
  assert.equal(
    said('secret "db" not found'),
    `kubectl -n ${namespace} create secret generic db --from-literal=user=VALUE --from-literal=password=VALUE`,
  );
  assert.equal(
    said(`couldn't find key password in Secret ${namespace}/db`),
    `kubectl -n ${namespace} patch secret db -p '{"stringData":{"password":"VALUE"}}'`,
  );
});

test('a namespace that is being deleted is waited for, which is no stall: it needs nobody', () => {
  const cluster = runningCell(goal);
  change(cluster, 'Namespace', terminating);
  assert.equal(summary(statusOf(goal, cluster)), 'Waiting Ready=False,Reconciling=True NamespaceTerminating');
});

test('lastTransitionTime moves only when the status of the condition flips', () => {
  const first = statusOf(goal, new FakeCluster(), null, 1_000);
  const second = statusOf(goal, withPod({}), first, 2_000);
  const third = statusOf(goal, runningCell(goal), second, 3_000);
  assert.deepEqual(
    [first, second, third].map((s) => s.conditions[0]?.lastTransitionTime),
    ['1970-01-01T00:00:01.000Z', '1970-01-01T00:00:01.000Z', '1970-01-01T00:00:03.000Z'],
  );
});

test('a status that did not change is equal to the byte, so nothing is written', () => {
  const first = statusOf(goal, runningCell(goal), null, 1_000);
  assert.deepEqual(statusOf(goal, runningCell(goal), first, 99_000), first);
});

test('of a cluster that may not be touched, readiness is unknown and said so', () => {
  const known = statusOf(goal, runningCell(goal));
  const withheld = withheldStatus(
    { storeId: STORE, clusterId: CLUSTER, goal, previous: known, now: 5 },
    { reason: 'ClusterChanged', why: 'another cluster' },
  );
  assert.equal(summary(withheld), 'Waiting Ready=Unknown,Stalled=True ClusterChanged');
  assert.deepEqual(withheld.workers, known.workers);
});

const REFUSED_AT = Date.parse('2026-11-28T12:00:00Z');

/** Pods of the grown Deployment are refused since then, by the cluster's clock. */
function withRefusedPods(lastTransitionTime?: string): FakeCluster {
  const cluster = withPod({});
  const failure = { type: 'ReplicaFailure', status: 'True', message: 'exceeded quota', lastTransitionTime };
  change(cluster, 'Deployment', (o) => ({ ...o, status: { conditions: [failure] } }));
  return cluster;
}

const STARTING = 'Progressing Ready=False,Reconciling=True WorkersStarting';
const REFUSED = 'Degraded Ready=False,Stalled=True PodsRefused';
const REFUSALS: readonly (readonly [when: string, since: string | undefined, now: number, expected: string])[] = [
  ['has just begun, as the quota grows behind its write', '2026-11-28T12:00:00Z', REFUSED_AT + 900, STARTING],
  ['is about to be over', '2026-11-28T12:00:00Z', REFUSED_AT + 4_999, STARTING],
  ['has lasted', '2026-11-28T12:00:00Z', REFUSED_AT + 5_000, REFUSED],
  ['has lasted by a clock of ours that is behind', '2026-11-28T13:00:00Z', REFUSED_AT, REFUSED],
  ['has no time', undefined, REFUSED_AT, REFUSED],
];

for (const [when, since, now, expected] of REFUSALS) {
  test(`a refusal of pods that ${when} is ${expected.split(' ')[0]}`, () => {
    assert.equal(summary(statusOf(goal, withRefusedPods(since), null, now)), expected);
  });
}

test('a refusal of pods that may pass is looked at again when it has had its time', () => {
  const observed = withRefusedPods('2026-11-28T12:00:00Z').observe(addressOf(goal));
  const [action] = plan({ storeId: STORE, goal, observed, now: REFUSED_AT + 900 });
  assert.equal(action?.do === 'wait' && action.until, REFUSED_AT + 5_000);
});
