import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeText } from '../../../src/cli/describe-text.ts';
import { explainObject, explainText } from '../../../src/cli/explain-text.ts';
import { historyObject, historyTable } from '../../../src/cli/history-text.ts';
import { contentHash } from '../../../src/job/canonical.ts';
import { explain } from '../../../src/job/explain.ts';
import type { JobContent } from '../../../src/job/goal.ts';
import { type JobName, jobName, revision } from '../../../src/job/ids.ts';
import { merge } from '../../../src/job/merge.ts';
import type { SpecPatch } from '../../../src/job/patch.ts';
import { assignments } from '../../../src/job/patch.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import type { FieldKeeper } from '../../../src/job/status.ts';
import { KeptElsewhereError } from '../../../src/ports/store.ts';
import type { StoredJob } from '../../../src/store/goals.ts';
import type { StoredStep } from '../../../src/store/write-decide.ts';
import { refuseKept } from '../../../src/store/write-kept.ts';
import { goalOf, JOB_A, JOB_B } from '../../support/goals.ts';
import { matchesGolden } from './golden.ts';
import { ago, brakeOf, by, CLUSTER, layered, NOW, replicaOf, revisionOf, seenOf } from './views.ts';

const SPEC: JobSpec = { container: { image: 'registry.example/clicks:1' }, workers: { replicas: 2 } };
const ARGO: FieldKeeper = { manager: 'argocd-controller', fields: ['container.image', 'workers.replicas'] };
const ANN: FieldKeeper = { manager: 'kubectl-\u001b[31mann', fields: ['suspended'] };
const JOB = { tenant: 'ads', name: 'clicks' };
const plain = by(goalOf(SPEC, { revision: 3 }), { reason: 'more traffic' });
const tookOver = layered(plain, {
  job: revisionOf(3, { kind: 'spec', spec: SPEC }, { reason: 'more traffic', takeOver: true }),
});

test('describe says who keeps which fields, and that the newest revision took over', () => {
  const text = describeText({
    view: { goal: tookOver, seen: seenOf(tookOver, { keepers: [ARGO, ANN] }) },
    replicas: [replicaOf('desk-1234')],
    brake: brakeOf(),
    cluster: { id: CLUSTER, contextName: 'kind-test', server: 'https://127.0.0.1:6443', caCertificate: null },
    live: { kind: 'unknown', why: 'test' },
    events: [],
    now: NOW,
  });
  matchesGolden('describe-keepers', text);
});

test('explain says who keeps which fields, as text and as data', () => {
  matchesGolden('explain-keepers', explainText(plain, explain(plain), false, [ARGO, ANN]));
  const { keepers } = explainObject(plain, explain(plain), [ARGO]) as { keepers: unknown };
  assert.deepEqual(keepers, [ARGO]);
  assert.doesNotMatch(explainText(plain, explain(plain), false), /Kept by/);
});

test('history says which revisions took over, as text and as data', () => {
  const revisions = [
    revisionOf(1, { kind: 'spec', spec: SPEC }, { source: 'kubectl', createdAt: ago(90_000) }),
    revisionOf(
      2,
      { kind: 'spec', spec: { ...SPEC, workers: { replicas: 5 } } },
      { takeOver: true, reason: 'campaign' },
    ),
    revisionOf(3, { kind: 'tombstone' }, { createdAt: ago(60), source: 'api', takeOver: true }),
  ];
  matchesGolden('history-take-over', historyTable(revisions, NOW));
  const { revisions: data } = historyObject(plain.job, revisions) as { revisions: { takeOver?: true }[] };
  assert.deepEqual(
    data.map((it) => it.takeOver),
    [undefined, true, true],
  );
});

interface Wanted {
  readonly job?: JobName;
  readonly id?: StoredStep['receipt']['id'];
  readonly outcome?: StoredStep['receipt']['outcome'];
  readonly before?: JobContent;
  readonly content: JobContent;
}

/** What the store says to a change of jobs whose fields are kept by these. */
function refusalOf(keepers: readonly FieldKeeper[], ...wanted: readonly Wanted[]): string {
  const given = wanted.map(({ job = JOB, id = JOB_A, outcome = 'configured', before, content }) => {
    const receipt = { job, id, revision: revision(2), outcome };
    const step: StoredStep = { change: { job, content }, layer: 'job', contentHash: contentHash(content), receipt };
    const own = revisionOf(1, before ?? { kind: 'spec', spec: SPEC });
    const stored: StoredJob = {
      job: { ...job, id },
      head: revision(1),
      newest: { job: own, scaler: null, oncall: null },
      keptUntil: null,
    };
    return { step, stored };
  });
  const byName = new Map(given.map(({ stored }) => [jobName(stored.job), stored]));
  const byId = new Map(given.map(({ stored }) => [stored.job.id, keepers]));
  try {
    refuseKept(
      given.map(({ step }) => step),
      'cli',
      byName,
      byId,
    );
  } catch (error) {
    assert.ok(error instanceof KeptElsewhereError);
    return error.message;
  }
  return '';
}

const spec = (change: Partial<JobSpec>): JobContent => ({ kind: 'spec', spec: { ...SPEC, ...change } });
const TOMBSTONE: JobContent = { kind: 'tombstone' };
const many: FieldKeeper = { manager: 'flux', fields: Array.from({ length: 12 }, (_, n) => `container.probes.f${n}`) };

test('a refusal names the job, who keeps what, and the ways out', () => {
  const other = { job: { tenant: 'web', name: 'views' }, id: JOB_B };
  const env = [{ name: 'A', value: 'a secret?' }];
  const messages: readonly (readonly [string, string])[] = [
    ['a value', refusalOf([ARGO, ANN], { content: spec({ workers: { replicas: 5 } }) })],
    [
      'a list',
      refusalOf([{ manager: 'flux', fields: ['container'] }], { content: spec({ container: { image: 'a:2', env } }) }),
    ],
    ['a removal', refusalOf([ARGO], { content: TOMBSTONE, outcome: 'removed' })],
    ['a removal, of much', refusalOf([many], { content: TOMBSTONE, outcome: 'removed' })],
    ['bringing back', refusalOf([ARGO], { before: TOMBSTONE, content: spec({}), outcome: 'restored' })],
    [
      'two jobs',
      refusalOf([ARGO], { content: spec({ workers: {} }) }, { ...other, content: spec({ container: { image: 'b' } }) }),
    ],
    [
      'a job changed, one removed',
      refusalOf([ARGO], { content: spec({ workers: {} }) }, { ...other, content: TOMBSTONE, outcome: 'removed' }),
    ],
  ];
  matchesGolden('kept', messages.map(([what, message]) => `# ${what}\n${message}\n`).join('\n'));
});

test('the words for --set lead to what was wanted, after a shell has read them', () => {
  const readiness = { httpGet: { path: "/it's ready", port: 'http' }, periodSeconds: 5 };
  const specs: readonly JobSpec[] = [
    {
      container: { image: `registry.example:5000/a/b:1.2@sha256:${'0'.repeat(64)}` },
      workers: { replicas: 0 },
      suspended: false,
    },
    { container: { image: 'a', runAsUser: 7 }, workers: { resources: { limits: { cpu: '500m', memory: '1Gi' } } } },
    { container: { image: 'a', probes: { readiness: { httpGet: { path: '/a b$HOME`x`?q=1&r', port: 1 } } } } },
    { container: { image: 'null' } },
  ];
  for (const wanted of specs) {
    const said = refusalOf([{ manager: 'flux', fields: [''] }], { content: { kind: 'spec', spec: wanted } });
    const words = [...said.matchAll(/--set ('[^']*'|[^'\s])+/g)].map(([word]) => word.slice('--set '.length));
    const { patch, problems } = assignments(words.filter((it) => it !== '…').map((word) => word.replaceAll("'", '')));
    assert.deepEqual(problems, []);
    const merged = merge(SPEC as unknown as SpecPatch, patch ?? {});
    const expected = words.includes('…') ? SPEC.container : wanted.container;
    assert.deepEqual(merged.container, expected, said);
  }
  const unsafe = refusalOf([{ manager: 'flux', fields: ['container.probes'] }], {
    content: { kind: 'spec', spec: { ...SPEC, container: { ...SPEC.container, probes: { readiness } } } },
  });
  assert.match(
    unsafe,
    /--set container\.probes\.readiness\.httpGet\.port=http --set container\.probes\.readiness\.periodSeconds=5 --set … --until/,
  );
});
