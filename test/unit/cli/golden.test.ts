import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeText } from '../../../src/cli/describe-text.ts';
import { actionText, specDiff } from '../../../src/cli/diff-text.ts';
import { eventsTable } from '../../../src/cli/events.ts';
import { NO_PLATFORM } from '../../../src/cli/foresight.ts';
import { jobTable } from '../../../src/cli/get.ts';
import type { JobView } from '../../../src/cli/jobs.ts';
import { orphanTable } from '../../../src/cli/orphans.ts';
import { revision } from '../../../src/job/ids.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import { goalOf, JOB_A, JOB_B, STORE, tombstoneOf } from '../../support/goals.ts';
import { matchesGolden } from './golden.ts';
import {
  ago,
  brakeOf,
  by,
  CLUSTER,
  condition,
  eventOf,
  layered,
  NOW,
  oncall,
  platformOf,
  replicaOf,
  revisionOf,
  seenOf,
} from './views.ts';

const SPEC: JobSpec = {
  container: {
    image: 'registry.example/clicks:1',
    args: ['--rate', '5'],
    ports: [{ name: 'http', port: 8080 }],
  },
  workers: { replicas: 2 },
};

const clicks = by(goalOf(SPEC, { revision: 3 }), { reason: 'more traffic' });
const views = by(goalOf(SPEC, { id: JOB_B, name: 'views', tenant: 'web' }), { author: 'test', createdAt: ago(30) });
const TWO = [replicaOf('desk-1234', 0, 2), replicaOf('desk-5678', 1, 2)];

const starved = seenOf(views, {
  phase: 'Degraded',
  workers: { desired: 2, ready: 1, restarts: 7 },
  conditions: [
    condition({ status: 'False', reason: 'OutOfMemory', message: '1 of 2 workers are ready; a worker was killed' }),
    condition({ type: 'Stalled', reason: 'OutOfMemory', message: '1 of 2 workers are ready; a worker was killed' }),
  ],
  next: [{ action: 'wait', why: 'WorkersStarting: 1 of 2 workers are ready, 2 run the newest template' }],
});

const leaving = by(tombstoneOf(clicks), { createdAt: ago(5), reason: null });
const overridden = layered(clicks, {
  oncall: revisionOf(6, oncall({ workers: { replicas: 5 } }), {
    author: 'bob@phone',
    source: 'oncall',
    reason: 'campaign',
    createdAt: ago(600),
  }),
});

const TABLE: JobView[] = [
  { goal: clicks, seen: seenOf(clicks) },
  // Revision 4 was not looked at yet: what was seen of 3 must not pass for it.
  { goal: { ...clicks, job: { ...clicks.job, name: 'edited' }, revision: revision(4) }, seen: seenOf(clicks) },
  { goal: { ...leaving, job: { ...clicks.job, name: 'leaving' } }, seen: null },
  { goal: overridden, seen: seenOf(overridden) },
  { goal: views, seen: starved },
];

test('get shows for each job whether it is ready, and says unknown where nothing is known', () => {
  matchesGolden('get', jobTable(TABLE, NOW, undefined));
});

test('get -o wide adds where it runs, what it runs and why it is as it is', () => {
  matchesGolden('get-wide', jobTable(TABLE, NOW, 'wide'));
});

test('describe answers its four questions for a job that is well', () => {
  const cluster = { id: CLUSTER, contextName: 'kind-bulkhead', server: 'https://127.0.0.1:6443', caCertificate: null };
  const text = describeText({
    view: { goal: clicks, seen: seenOf(clicks) },
    replicas: TWO,
    brake: brakeOf(),
    cluster,
    live: { kind: 'planned', contextName: 'kind-bulkhead', steps: [{ action: 'nothing', why: 'all is well' }] },
    events: [
      eventOf(clicks, { reason: 'Created', message: 'Namespace bh-ads-clicks: revision 1 needs it' }),
      eventOf(clicks),
    ],
    now: NOW,
  });
  matchesGolden('describe', text);
});

test('describe shows what lies above a job, who says so, until when, and what is refused', () => {
  const goal = layered(overridden, {
    platform: { all: platformOf(null, 2, { limits: { workers: { replicas: 4 } } }), tenant: null },
  });
  const text = describeText({
    view: { goal, seen: null },
    replicas: [replicaOf('desk-1234', 0, 1, { alive: false })],
    brake: brakeOf(),
    cluster: null,
    live: { kind: 'unknown', why: 'there is no kubeconfig' },
    events: [],
    now: NOW,
  });
  matchesGolden('describe-layers', text);
});

test('describe says that no operator runs, that the cluster was not reached, and that a newer revision waits', () => {
  const edited = { ...views, revision: revision(2) };
  const text = describeText({
    view: { goal: edited, seen: { ...starved, status: { ...starved.status, observedRevision: revision(1) } } },
    replicas: [],
    brake: brakeOf(),
    cluster: null,
    live: { kind: 'unknown', why: 'the API server https://127.0.0.1:6443 (context old) does not answer' },
    events: [],
    now: NOW,
  });
  matchesGolden('describe-trouble', text);
});

test('describe of a job that is being removed says so, and needs no spec', () => {
  const text = describeText({
    view: { goal: leaving, seen: null },
    replicas: TWO,
    brake: brakeOf({ used: 3, waiting: [leaving.job] }),
    cluster: null,
    live: { kind: 'unknown', why: 'there is no kubeconfig' },
    events: [],
    now: NOW,
  });
  matchesGolden('describe-removed', text);
});

test('describe is inert on a terminal, whatever tenants and clusters wrote', () => {
  const hostile = 'red \u001b[31m and\u202e back';
  const goal = layered(
    by(goalOf({ container: { image: 'app', args: [hostile] } }), { author: hostile, reason: hostile }),
    {
      oncall: revisionOf(2, oncall({ container: { args: [hostile] } }), { author: hostile, reason: hostile }),
    },
  );
  const text = describeText({
    view: { goal, seen: seenOf(goal, { conditions: [condition({ message: hostile })] }) },
    replicas: [replicaOf(hostile)],
    brake: brakeOf(),
    cluster: null,
    live: { kind: 'unknown', why: hostile },
    events: [eventOf(goal, { message: hostile })],
    now: NOW,
  });
  assert.ok(!text.includes('\u001b') && !text.includes('\u202e'));
});

test('diff shows the goal and what the cell is in for, under it', () => {
  const spec: JobSpec = { ...SPEC, container: { ...SPEC.container, args: ['--rate', '9'] }, workers: { replicas: 3 } };
  const change = { storeId: STORE, name: clicks.job, spec, file: 'jobs.yaml', stored: clicks, platform: NO_PLATFORM };
  matchesGolden('diff', specDiff(change) + actionText(change));
});

test('diff of a job without ports takes its Service away', () => {
  const spec: JobSpec = { container: { image: 'registry.example/clicks:1' }, suspended: true };
  const change = { storeId: STORE, name: clicks.job, spec, file: 'jobs.yaml', stored: clicks, platform: NO_PLATFORM };
  matchesGolden('diff-smaller', specDiff(change) + actionText(change));
});

test('diff of a new job compares with nothing and creates everything', () => {
  const change = { storeId: STORE, name: clicks.job, spec: SPEC, file: 'stdin', stored: null, platform: NO_PLATFORM };
  matchesGolden('diff-new', specDiff(change) + actionText(change));
});

test('diff of the same spec says nothing, whatever the order of its fields', () => {
  const { workers, container } = SPEC;
  const change = { storeId: STORE, name: clicks.job, file: 'jobs.yaml', stored: clicks, platform: NO_PLATFORM };
  assert.equal(specDiff({ ...change, spec: { workers, container } as JobSpec }), '');
});

test('events name job and revision, oldest first', () => {
  const failing = eventOf(views, { type: 'Warning', reason: 'OutOfMemory', message: 'killed', at: ago(20) });
  matchesGolden('events', eventsTable([eventOf(clicks), failing], NOW));
});

test('orphans come with the command that deletes them, unless they go already', () => {
  const orphan = {
    tier: 'namespace' as const,
    namespace: 'bh-lost',
    jobId: JOB_A,
    tenant: 'ads',
    job: 'lost',
    createdAt: ago(86_400).toISOString(),
  };
  const rows = [
    { ...orphan, terminating: false },
    { ...orphan, namespace: 'bh-going', job: '', terminating: true },
    { ...orphan, tier: 'shared' as const, namespace: 'ads', terminating: false },
  ];
  matchesGolden('orphans', orphanTable(rows, 'kubectl --context kind-bulkhead', NOW));
});
