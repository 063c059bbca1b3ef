import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Goal, JobContent } from '../../../src/job/goal.ts';
import { revision } from '../../../src/job/ids.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import { EDIT_REFUSED, type Intake, planIntake, WHOLE_DEFINITION } from '../../../src/plan/intake.ts';
import { finalizerOf, type ObservedStreamJob } from '../../../src/plan/stream-job.ts';
import { goalOf, JOB_A, JOB_B, MINIMAL, OTHER_STORE, STORE, tombstoneOf } from '../../support/goals.ts';
import { statusAt, streamJob } from '../../support/observed-stream-jobs.ts';

const NEWER: JobSpec = { ...MINIMAL, suspended: true };
const THIRD: JobSpec = { ...MINIMAL, workers: { replicas: 3 } };
const head = goalOf();
const moved = goalOf(NEWER, { revision: 2 });
const spec = (of: JobSpec): JobContent => ({ kind: 'spec', spec: of });
const bySource = (goal: Goal, change: Partial<Goal['layers']['job']>): Goal => ({
  ...goal,
  layers: { ...goal.layers, job: { ...goal.layers.job, ...change } },
});
const argo = [{ manager: 'argocd-controller', fields: ['container.image', 'suspended'] }];
const refusedStatus = statusAt(1, {
  conditions: [
    {
      type: 'Ready',
      status: 'False',
      reason: EDIT_REFUSED,
      message: '',
      lastTransitionTime: '',
      observedGeneration: 1,
    },
  ],
});

type Case = readonly [
  reason: string,
  goal: Goal,
  object: ObservedStreamJob | null,
  expected: Intake['do'],
  base?: JobContent | null | 'unread',
];

const CASES: readonly Case[] = [
  ['a goal without an object gets one', head, null, 'create'],
  ['a removed job without an object needs none', tombstoneOf(head), null, 'nothing'],
  ['what was taken in and not touched says nothing', head, streamJob(), 'nothing'],
  [
    'another store’s object is left alone',
    head,
    streamJob(NEWER, { finalizers: [finalizerOf(OTHER_STORE)] }),
    'nothing',
  ],
  ['our finalizer comes before anything is stored', head, streamJob(MINIMAL, { finalizers: [] }), 'claim'],
  [
    'an object of an earlier job has to go first',
    head,
    streamJob(MINIMAL, { status: statusAt(1, { jobId: JOB_B }) }),
    'wait',
  ],
  ['an edit is made from the revision that the status names', head, streamJob(NEWER, { generation: 2 }), 'submit'],
  ['content that is equal to the goal is no edit', moved, streamJob(NEWER, { generation: 2 }), 'nothing'],
  ['no status, no base: an edit on the head', head, streamJob(NEWER, { status: null, keepers: argo }), 'submit'],
  [
    'what nobody but Bulkhead wrote is no edit, whatever the cluster dropped of it',
    head,
    streamJob(NEWER, { status: null }),
    'writeBack',
  ],
  ['no status, and nothing else: the object is adopted', head, streamJob(MINIMAL, { status: null }), 'nothing'],
  ['a base that is not the head has to be read', moved, streamJob(), 'readBase', 'unread'],
  ['a goal that moved on elsewhere is written back', moved, streamJob(), 'writeBack', spec(MINIMAL)],
  ['where both were changed, the store wins', moved, streamJob(THIRD, { generation: 2 }), 'writeBack', spec(MINIMAL)],
  ['a base that the store does not have is none', moved, streamJob(THIRD, { generation: 2 }), 'submit', null],
  [
    'what a lost revision left untouched does not make the store again',
    moved,
    streamJob(THIRD, { status: statusAt(9) }),
    'writeBack',
    null,
  ],
  [
    'the same number with another content is no base',
    moved,
    streamJob(THIRD, { status: statusAt(2, { specHash: 'other' }) }),
    'writeBack',
    spec(NEWER),
  ],
  [
    'a finalizer that somebody puts beside ours is nothing',
    tombstoneOf(head),
    streamJob(MINIMAL, { isDeleting: true, finalizers: [finalizerOf(STORE), finalizerOf(OTHER_STORE)] }),
    'release',
  ],
  ['what others keep is not written over', moved, streamJob(MINIMAL, { keepers: argo }), 'leave', spec(MINIMAL)],
  [
    'fields that nobody else keeps are written back though others keep some',
    moved,
    streamJob(MINIMAL, { keepers: [{ manager: 'kubectl', fields: ['container.image'] }] }),
    'writeBack',
    spec(MINIMAL),
  ],
  [
    'a revision that takes over is written over what others keep',
    bySource(moved, { takeOver: true }),
    streamJob(MINIMAL, { keepers: argo }),
    'writeBack',
    spec(MINIMAL),
  ],
  [
    'what came by kubectl is put back into a restored object, whoever keeps it',
    bySource(moved, { source: 'kubectl' }),
    streamJob(MINIMAL, { keepers: argo }),
    'writeBack',
    spec(MINIMAL),
  ],
  ['a spec that breaks a rule is refused', head, streamJob({ container: { image: '' } }, { generation: 2 }), 'refuse'],
  [
    'a field that this version does not know is refused',
    head,
    streamJob({ ...MINIMAL, nodeName: 'x' } as JobSpec, { generation: 2 }),
    'refuse',
  ],
  [
    'a refused edit is looked at again, since what refused it may have changed',
    head,
    streamJob(NEWER, { status: refusedStatus }),
    'submit',
  ],
  ['a deletion is heard', head, streamJob(MINIMAL, { isDeleting: true }), 'hearDeletion'],
  [
    'a deletion that the store knows of needs no more',
    tombstoneOf(head),
    streamJob(MINIMAL, { isDeleting: true }),
    'release',
  ],
  [
    'a deletion without our finalizer is not ours to hear',
    head,
    streamJob(MINIMAL, { isDeleting: true, finalizers: [] }),
    'nothing',
  ],
  ['a job that was removed elsewhere loses its object', tombstoneOf(head), streamJob(), 'discard'],
  [
    'an object of a restored etcd, older than its status, does not bring its removed job back',
    tombstoneOf(head),
    streamJob(MINIMAL, { uid: JOB_A, status: null }),
    'discard',
  ],
  [
    'a new object with a removed job’s name is a newcomer',
    tombstoneOf(head),
    streamJob(MINIMAL, { status: null }),
    'nothing',
  ],
];

for (const [reason, goal, object, expected, base = 'unread'] of CASES) {
  test(reason, () => {
    assert.equal(
      planIntake({ storeId: STORE, goal, object, base: () => base, definition: WHOLE_DEFINITION }).do,
      expected,
    );
  });
}

test('an overruled edit is named by its fields', () => {
  const object = streamJob(THIRD, { generation: 2 });
  assert.deepEqual(
    planIntake({ storeId: STORE, goal: moved, object, base: () => spec(MINIMAL), definition: WHOLE_DEFINITION }),
    {
      do: 'writeBack',
      spec: NEWER,
      overruled: ['workers.replicas'],
    },
  );
});

test('an edit names its base', () => {
  const object = streamJob(THIRD, { generation: 2 });
  const step = planIntake({ storeId: STORE, goal: head, object, base: () => 'unread', definition: WHOLE_DEFINITION });
  assert.deepEqual(step, { do: 'submit', spec: THIRD, base: revision(1) });
});

const suspended = goalOf(NEWER);
const older = { drops: ['spec.suspended'], hasDropped: true };
const plan = (object: ObservedStreamJob, definition = older) =>
  planIntake({ storeId: STORE, goal: suspended, object, base: () => 'unread', definition });

test('what an older definition dropped of an object is no edit', () => {
  assert.equal(plan(streamJob(MINIMAL)).do, 'nothing');
});

test('an edit under an older definition, which would lose a field of the goal, is refused', () => {
  assert.equal(plan(streamJob(THIRD, { generation: 2 })).do, 'refuse');
});

test('with a newer definition the object gets back what it lost', () => {
  assert.equal(plan(streamJob(MINIMAL), { drops: [], hasDropped: true }).do, 'writeBack');
});

test('a fraction that the CLI took is the same as its text, which Kubernetes wants', () => {
  const limits = (cpu: string | number): JobSpec => ({ ...MINIMAL, workers: { resources: { limits: { cpu } } } });
  const object = streamJob(limits('0.5'), { generation: 2 });
  const input = { storeId: STORE, goal: goalOf(limits(0.5)), object, definition: WHOLE_DEFINITION };
  assert.equal(planIntake({ ...input, base: () => 'unread' }).do, 'nothing');
});
