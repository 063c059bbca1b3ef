import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainObject, explainText } from '../../../src/cli/explain-text.ts';
import { foresee, goalAfter, ID_TO_COME } from '../../../src/cli/foresight.ts';
import { overrideObject, overrideText } from '../../../src/cli/override-text.ts';
import { impactOf } from '../../../src/cli/platform-impact.ts';
import {
  changedText,
  platformHistoryTable,
  platformReceiptLine,
  platformTable,
  refusedText,
} from '../../../src/cli/platform-text.ts';
import { momentOf, until } from '../../../src/cli/until.ts';
import { explain } from '../../../src/job/explain.ts';
import { revision } from '../../../src/job/ids.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import { goalOf, JOB_B, tombstoneOf } from '../../support/goals.ts';
import { matchesGolden } from './golden.ts';
import { ago, layered, NOW, oncall, platformOf, revisionOf } from './views.ts';

const SPEC: JobSpec = {
  container: { image: 'registry.example/clicks:1', env: [{ name: 'LOG', value: 'info' }] },
  workers: { replicas: 2 },
};
const ORIGIN = { author: 'ann@desk', source: 'cli', reason: 'test' } as const;

const PLATFORM = {
  all: platformOf(null, 2, {
    defaults: { workers: { resources: { limits: { memory: '512Mi' } } } },
    limits: { workers: { replicas: 10, resources: { cpu: '2' } }, images: ['registry.example/'] },
  }),
  tenant: platformOf('ads', 1, { limits: { workers: { replicas: 6 } } }, { reason: 'small budget' }),
};
const override = revisionOf(
  6,
  oncall({ workers: { replicas: 5 }, container: { env: [{ name: 'LOG', value: 'debug' }] } }),
  { author: 'bob@phone', source: 'oncall', reason: 'campaign', createdAt: ago(600) },
);
const plain = goalOf(SPEC, { revision: 3 });
const goal = layered(plain, { oncall: override, platform: PLATFORM });

test('explain shows for every field whose it is, and counts what it hides', () => {
  matchesGolden('explain', explainText(goal, explain(goal), false));
});

test('explain --overridden shows what is hidden, under the field that hides it', () => {
  matchesGolden('explain-overridden', explainText(goal, explain(goal), true));
});

test('explain of a refused goal says first what is refused', () => {
  const refused = layered(goal, {
    platform: { ...PLATFORM, tenant: platformOf('ads', 2, { limits: { workers: { replicas: 4 } } }) },
  });
  const text = explainText(refused, explain(refused), false);
  assert.match(
    text,
    /^ads\/clicks exceeds the platform's limits \(LimitExceeded\), so its cell stays as it is:\n {2}workers\.replicas: found 5/,
  );
  const object = explainObject(refused, explain(refused)) as { refused: { because: string }; layers: string };
  assert.deepEqual([object.refused.because, object.layers], ['LimitExceeded', 'job@3 oncall@6']);
});

test('an override says what it sets, who set it, why and until when', () => {
  matchesGolden('override', overrideText(goal.job, override, NOW));
  assert.equal(overrideText(goal.job, null, NOW), '');
  assert.equal(overrideText(goal.job, revisionOf(7, { kind: 'cleared', layer: 'oncall' }), NOW), '');
  assert.match(overrideText(goal.job, revisionOf(7, oncall({}, null)), NOW), /Holds: +until it is cleared\n/);
  assert.match(overrideText(goal.job, revisionOf(7, oncall({}, ago(1))), NOW), /it ends any moment/);
  const { override: object } = overrideObject(goal.job, override) as { override: { until: string } };
  assert.equal(object.until, '2026-11-23T14:00:00.000Z');
});

test('the end of an override is a time, a moment or never', () => {
  const ends = (text: string) => momentOf(until(text), NOW)?.toISOString() ?? null;
  assert.equal(ends('2h'), '2026-11-23T14:00:00.000Z');
  assert.equal(ends('2026-11-23T15:00+01:00'), '2026-11-23T14:00:00.000Z');
  assert.equal(ends('never'), null);
  for (const text of ['tomorrow', '2026-11-23', '2026-11-23T15:00', '2026-13-23T15:00Z', '', '-2h']) {
    assert.throws(() => until(text), /Expected a time such as 2h, a moment such as/, text);
  }
});

test('what a change would make of a goal is foreseen as the store answers it', () => {
  const { job } = plain;
  const spec = { kind: 'spec', spec: SPEC } as const;
  const edited = { kind: 'spec', spec: { ...SPEC, suspended: true } } as const;
  const outcome = (at: typeof plain | null, content: Parameters<typeof foresee>[1]['content']) => {
    const { outcome: word, revision: number } = foresee(at, { job, content });
    return [word, number];
  };
  assert.deepEqual(outcome(null, spec), ['created', 1]);
  assert.deepEqual(outcome(plain, spec), ['unchanged', 3]);
  assert.deepEqual(outcome(plain, edited), ['configured', 4]);
  assert.deepEqual(outcome(plain, { kind: 'tombstone' }), ['removed', 4]);
  assert.deepEqual(outcome(null, { kind: 'tombstone' }), ['absent', null]);
  assert.deepEqual(outcome(tombstoneOf(plain), spec), ['restored', 5]);
  assert.deepEqual(outcome(tombstoneOf(plain), { kind: 'tombstone' }), ['absent', null]);
  assert.deepEqual(outcome(plain, { kind: 'cleared', layer: 'oncall' }), ['unchanged', 3]);
  assert.deepEqual(outcome(goal, { kind: 'cleared', layer: 'oncall' }), ['configured', 7]);
});

test('a goal as it would be keeps the other layers, and gets the platform where it is new', () => {
  const after = (at: typeof plain | null, content: Parameters<typeof foresee>[1]['content']) => {
    const change = { job: plain.job, content };
    return goalAfter(at, change, foresee(at, change), ORIGIN, PLATFORM);
  };
  const cleared = after(goal, { kind: 'cleared', layer: 'oncall' });
  assert.deepEqual([cleared?.revision, cleared?.layers.oncall], [7, null]);
  assert.equal(cleared?.content.kind === 'spec' && cleared.content.spec.workers?.replicas, 2);
  const edited = after(goal, { kind: 'spec', spec: { ...SPEC, suspended: true } });
  assert.equal(edited?.content.kind === 'spec' && edited.content.spec.workers?.replicas, 5);
  const created = after(null, { kind: 'spec', spec: { ...SPEC, workers: { replicas: 7 } } });
  assert.deepEqual([created?.job.id, created?.content.kind], [ID_TO_COME, 'refused']);
  assert.equal(after(null, oncall({})), null, 'no layer lies above a job that is not there');
});

const other = goalOf({ ...SPEC, workers: { replicas: 9 } }, { id: JOB_B, tenant: 'web', name: 'orders' });

test('new limits and defaults are held against the jobs that are there before they are stored', () => {
  const goals = [
    plain,
    other,
    layered(other, { platform: { all: platformOf(null, 1, { limits: { workers: { replicas: 1 } } }), tenant: null } }),
  ];
  const impact = impactOf(goals, [
    { tenant: null, content: { defaults: { suspended: true }, limits: { workers: { replicas: 5 } } } },
  ]);
  assert.deepEqual(
    impact.changed.map((it) => it.job.name),
    ['clicks'],
  );
  assert.deepEqual(
    impact.refused.map((it) => it.goal),
    [other],
    'what is refused already is no news',
  );
  matchesGolden('platform-impact', `${refusedText(impact)}${changedText(impact)}\n`);
  const ofTenant = impactOf(goals, [
    { tenant: 'ads', content: { defaults: {}, limits: { workers: { replicas: 1 } } } },
  ]);
  assert.deepEqual([ofTenant.changed, ofTenant.refused.map((it) => it.goal.job.name)], [[], ['clicks']]);
  assert.equal(refusedText({ changed: [], refused: [] }), '');
});

test('what the platform says and said is shown by scope, field by field', () => {
  const { all, tenant } = PLATFORM;
  const first = platformOf(
    null,
    1,
    { limits: { workers: { replicas: 10 } } },
    { createdAt: ago(90_000), reason: 'start' },
  );
  matchesGolden('platform', platformTable([all, tenant], NOW) + platformHistoryTable([first, all], NOW));
  const receipt = { tenant: null, revision: revision(2), outcome: 'configured' } as const;
  assert.equal(platformReceiptLine(receipt, 'none'), 'platform configured (all tenants, revision 2)\n');
  assert.equal(
    platformReceiptLine({ ...receipt, tenant: 'ads' }, 'client'),
    'platform configured (dry run) (tenant ads, revision 2)\n',
  );
});

test('without a platform there are no limits to show', () => {
  assert.doesNotMatch(explainText(plain, explain(plain), false), /Limits:/);
});
