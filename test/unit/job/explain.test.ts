import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ExplainedField, explain, type FieldOrigin } from '../../../src/job/explain.ts';
import type { Goal } from '../../../src/job/goal.ts';
import type { SpecPatch } from '../../../src/job/patch.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import { goalOf, platformOf, revisionOf } from './layer-arbitrary.ts';

const SPEC: JobSpec = {
  container: {
    image: 'a',
    env: [
      { name: 'A', value: '1' },
      { name: 'B', secretKeyRef: { name: 's', key: 'k' } },
    ],
  },
  workers: { replicas: 2, resources: { limits: { memory: '1Gi' } } },
};

function goal(
  oncall: SpecPatch,
  { scaler = {}, defaults = {} }: { scaler?: SpecPatch; defaults?: SpecPatch } = {},
): Goal {
  return goalOf(
    {
      job: revisionOf(1, { kind: 'spec', spec: SPEC }),
      scaler: revisionOf(2, { kind: 'patch', layer: 'scaler', patch: scaler }),
      oncall: revisionOf(4, { kind: 'patch', layer: 'oncall', patch: oncall, until: null }),
    },
    { all: platformOf(null, 7, defaults), tenant: null },
  );
}

const by = (from: FieldOrigin | null): string =>
  from === null ? 'nobody' : from.scope === 'built-in' ? 'built-in' : `${from.scope} ${from.revision}`;
const shown = ({ value, from, overridden, removedBy }: ExplainedField): string =>
  `${value ?? 'nothing'} by ${by(from)}${overridden.map((o) => `, over ${o.value} by ${by(o.from)}`).join('')}${
    removedBy ? `, removed by ${by(removedBy)}` : ''
  }`;
const field = (of: Goal, path: string): string | undefined => {
  const row = explain(of).find((it) => it.path === path);
  return row && shown(row);
};

const FIELDS: readonly [reason: string, goal: Goal, path: string, shown: string | undefined][] = [
  ['a built-in default', goal({}), 'container.runAsUser', '65532 by built-in'],
  ['what the job says, over the built-in default', goal({}), 'workers.replicas', '2 by job 1, over 1 by built-in'],
  [
    'a pile of layers, the highest first',
    goal(
      { workers: { replicas: 9 } },
      { scaler: { workers: { replicas: 5 } }, defaults: { workers: { replicas: 3 } } },
    ),
    'workers.replicas',
    '9 by oncall 4, over 5 by scaler 2, over 2 by job 1, over 3 by platform 7, over 1 by built-in',
  ],
  [
    'the same value again is a decision of the higher layer',
    goal({ workers: { replicas: 2 } }),
    'workers.replicas',
    '2 by oncall 4, over 2 by job 1, over 1 by built-in',
  ],
  ['one variable, by its name', goal({}), 'container.env[A].value', '1 by job 1'],
  [
    'a variable that another layer adds',
    goal({}, { defaults: { container: { env: [{ name: 'Z', value: 'z' }] } } }),
    'container.env[Z].value',
    'z by platform 7',
  ],
  [
    'a variable that was taken away, and what it was',
    goal({ container: { env: [{ name: 'A', $remove: true }] } }),
    'container.env[A].value',
    'nothing by oncall 4, over 1 by job 1, removed by oncall 4',
  ],
  [
    'a secret that a value took the place of',
    goal({ container: { env: [{ name: 'B', value: 'x' }] } }),
    'container.env[B].secretKeyRef.key',
    'nothing by oncall 4, over k by job 1, removed by oncall 4',
  ],
  [
    'a built-in default that came back',
    goal({ workers: { resources: { limits: { memory: null } } } }),
    'workers.resources.limits.memory',
    '256Mi by built-in, over 1Gi by job 1, removed by oncall 4',
  ],
  [
    'something taken away and said again',
    goal({ workers: { replicas: 3 } }, { scaler: { workers: null } }),
    'workers.replicas',
    '3 by oncall 4, over 2 by job 1, over 1 by built-in',
  ],
  [
    'a list without names is one field',
    goal({ container: { args: ['x', 'y'] } }),
    'container.args',
    '["x","y"] by oncall 4, over [] by built-in',
  ],
  ['what nobody says and nothing provides', goal({}), 'container.probes.readiness', undefined],
];

for (const [reason, of, path, expected] of FIELDS) {
  test(`explain: ${reason}`, () => assert.equal(field(of, path), expected));
}

test('an origin says who, when, how and why', () => {
  const row = explain(goal({ suspended: true })).find(({ path }) => path === 'suspended');
  assert.deepEqual(row?.from, {
    scope: 'oncall',
    revision: 4,
    author: 'author 4',
    source: 'cli',
    reason: 'reason 4',
    createdAt: new Date(4000),
  });
});

test('a tenant is named where the platform speaks to it alone', () => {
  const of = goalOf(
    { job: revisionOf(1, { kind: 'spec', spec: SPEC }), scaler: null, oncall: null },
    { all: null, tenant: platformOf('ads', 3, { suspended: true }) },
  );
  assert.equal(field(of, 'suspended'), 'true by platform of ads 3, over false by built-in');
});

test('fields come in the order of the definition, what was taken away last', () => {
  const paths = explain(goal({ container: { env: [{ name: 'A', $remove: true }] } })).map(({ path }) => path);
  assert.deepEqual(paths, [
    'container.image',
    'container.command',
    'container.args',
    'container.env[B].secretKeyRef.name',
    'container.env[B].secretKeyRef.key',
    'container.runAsUser',
    'workers.replicas',
    'workers.resources.requests.cpu',
    'workers.resources.requests.memory',
    'workers.resources.limits.cpu',
    'workers.resources.limits.memory',
    'network.egress',
    'network.ingress',
    'isolation.tier',
    'suspended',
    'container.env[A].value',
  ]);
});

test('a goal that was refused is explained too: that is when people ask', () => {
  const exceeded = goal({ workers: { replicas: 9 } });
  const refused: Goal = { ...exceeded, content: { kind: 'refused', because: 'LimitExceeded', problems: [] } };
  assert.equal(field(refused, 'workers.replicas'), '9 by oncall 4, over 2 by job 1, over 1 by built-in');
  const broken = goal({ container: { image: null } });
  assert.equal(broken.content.kind, 'refused');
  assert.equal(field(broken, 'container.image'), 'nothing by oncall 4, over a by job 1, removed by oncall 4');
  assert.equal(field(broken, 'workers.replicas'), '2 by job 1, over 1 by built-in');
});

test('of a removed job there is nothing to explain', () => {
  const { layers } = goal({});
  assert.deepEqual(explain(goalOf({ ...layers, job: revisionOf(9, { kind: 'tombstone' }) })), []);
});
