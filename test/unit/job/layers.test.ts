import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { GoalContent, JobLayers, LayerContent, PlatformLayers } from '../../../src/job/goal.ts';
import { asOf, effectiveGoal, mergeLayers } from '../../../src/job/layers.ts';
import { isImageUnder } from '../../../src/job/limits.ts';
import type { SpecPatch } from '../../../src/job/patch.ts';
import type { PlatformLimits } from '../../../src/job/platform.ts';
import { formatPath } from '../../../src/job/problem.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import { platformOf, revisionOf } from './layer-arbitrary.ts';

const SPEC: JobSpec = { container: { image: 'r.example/app:1' } };
const NOBODY: PlatformLayers = { all: null, tenant: null };
const replicas = (n: number | null): SpecPatch => ({ workers: { replicas: n } });

interface Said {
  readonly all?: SpecPatch;
  readonly tenant?: SpecPatch;
  readonly job?: JobSpec;
  readonly scaler?: SpecPatch;
  readonly oncall?: SpecPatch;
}

const layersOf = ({ job = SPEC, scaler, oncall }: Said): JobLayers => ({
  job: revisionOf(1, { kind: 'spec', spec: job }),
  scaler: scaler ? revisionOf(2, { kind: 'patch', layer: 'scaler', patch: scaler }) : null,
  oncall: oncall ? revisionOf(3, { kind: 'patch', layer: 'oncall', patch: oncall, until: null }) : null,
});
const platformLayersOf = ({ all, tenant }: Said): PlatformLayers => ({
  all: all ? platformOf(null, 4, all) : null,
  tenant: tenant ? platformOf('ads', 5, tenant) : null,
});
const goalOf = (said: Said): GoalContent => effectiveGoal(layersOf(said), platformLayersOf(said));

test('each layer lies above the one before: all tenants, the tenant, the job, the scaler, the on-call engineer', () => {
  const said: Required<Said> = {
    all: replicas(1),
    tenant: replicas(2),
    job: { ...SPEC, workers: { replicas: 3 } },
    scaler: replicas(4),
    oncall: replicas(5),
  };
  for (const [count, expected] of [5, 4, 3, 2, 1].entries()) {
    const without = Object.keys(said).slice(5 - count);
    const rest = Object.fromEntries(Object.entries(said).filter(([name]) => !without.includes(name)));
    assert.deepEqual(mergeLayers(layersOf(rest), platformLayersOf(rest)).workers, { replicas: expected });
  }
});

test('null in a layer uncovers no lower layer but the built-in default', () => {
  const goal = goalOf({ all: replicas(2), job: { ...SPEC, workers: { replicas: 3 } }, oncall: replicas(null) });
  assert.deepEqual(goal, { kind: 'spec', spec: { ...SPEC, workers: {} } });
});

test('what the platform says comes first in a list by name, then what the job adds', () => {
  const env = (...names: string[]) => ({ env: names.map((name) => ({ name, value: 'x' })) });
  const job = { container: { image: 'a', ...env('JOB', 'ZONE') } };
  const goal = goalOf({ all: { container: env('REGION', 'ZONE') }, job, oncall: { container: env('DEBUG', 'JOB') } });
  assert.ok(goal.kind === 'spec');
  assert.deepEqual(
    goal.spec.container.env?.map((e) => e.name),
    ['REGION', 'ZONE', 'JOB', 'DEBUG'],
  );
});

test('a job without other layers is what it says, with no default in it', () => {
  assert.deepEqual(goalOf({}), { kind: 'spec', spec: SPEC });
});

test('a removed job stays removed, whatever the other layers say', () => {
  const layers = { ...layersOf({ scaler: replicas(2) }), job: revisionOf(9, { kind: 'tombstone' }) };
  assert.deepEqual(effectiveGoal(layers, platformLayersOf({ all: replicas(-1) })), { kind: 'tombstone' });
});

test('a layer that was cleared says nothing', () => {
  const layers = { ...layersOf({}), oncall: revisionOf(4, { kind: 'cleared', layer: 'oncall' }) };
  assert.deepEqual(effectiveGoal(layers, NOBODY), { kind: 'spec', spec: SPEC });
});

const said = (content: GoalContent): string =>
  content.kind === 'refused'
    ? `${content.because}: ${content.problems.map((p) => `${formatPath(p.path)}: ${p.found}, not ${p.expected}`).join('; ')}`
    : content.kind;

const CONTRADICTIONS: readonly [reason: string, layers: Said, said: string][] = [
  [
    'a probe that asks a port that another layer took away',
    {
      job: {
        container: {
          image: 'a',
          ports: [{ name: 'web', port: 1 }],
          probes: { readiness: { tcpSocket: { port: 'web' } } },
        },
      },
      oncall: { container: { ports: [{ name: 'web', $remove: true }] } },
    },
    'InvalidGoal: spec.container.probes.readiness.tcpSocket.port: "web", not a number, since spec.container.ports is empty',
  ],
  [
    'a variable of which only the name is left, by its name',
    {
      job: { container: { image: 'a', env: [{ name: 'A', value: '1' }] } },
      oncall: { container: { env: [{ name: 'A', value: null }] } },
    },
    'InvalidGoal: spec.container.env.A: only name, not exactly one of value, secretKeyRef',
  ],
  [
    'no image',
    { oncall: { container: { image: null } } },
    'InvalidGoal: spec.container.image: nothing, not an image such as registry.example/team/app:1.2',
  ],
  [
    'a request above the limit of another layer',
    {
      all: { workers: { resources: { limits: { cpu: '500m' } } } },
      job: { ...SPEC, workers: { resources: { requests: { cpu: 2 } } } },
    },
    'InvalidGoal: spec.workers.resources.requests.cpu: 2, not at most the limit, 500m; set spec.workers.resources.limits.cpu to 2 or more',
  ],
  [
    'a field that a later version knew',
    { job: { ...SPEC, colour: 'red' } as JobSpec },
    'InvalidGoal: spec.colour: an unknown field, not no such field',
  ],
];

for (const [reason, layers, expected] of CONTRADICTIONS) {
  test(`layers that contradict each other are refused: ${reason}`, () => assert.equal(said(goalOf(layers)), expected));
}

test('a request above a built-in limit is right where a layer below says a higher limit', () => {
  const job = { ...SPEC, workers: { resources: { requests: { memory: '1Gi' } } } };
  assert.equal(goalOf({ all: { workers: { resources: { limits: { memory: '2Gi' } } } }, job }).kind, 'spec');
});

test('whatever an older version stored becomes a goal or a refusal; nothing is thrown', () => {
  const anyMap = fc.dictionary(
    fc.constantFrom('container', 'workers', 'env', 'name'),
    fc.jsonValue(),
  ) as fc.Arbitrary<SpecPatch>;
  fc.assert(
    fc.property(anyMap, anyMap, anyMap, (spec, oncall, all) => {
      const goal = goalOf({ job: { ...SPEC, ...spec } as unknown as JobSpec, oncall, all });
      assert.ok(goal.kind === 'spec' || (goal.kind === 'refused' && goal.problems.length > 0));
    }),
    { numRuns: 500 },
  );
});

const held = (layers: Said, all: PlatformLimits, tenant: PlatformLimits | null = null): string =>
  said(
    effectiveGoal(layersOf(layers), {
      all: platformOf(null, 4, {}, all),
      tenant: tenant && platformOf('ads', 5, {}, tenant),
    }),
  );

const LIMITS: readonly [reason: string, said: string, expected: string][] = [
  ['as many as allowed', held({ oncall: replicas(3) }, { workers: { replicas: 3 } }), 'spec'],
  [
    'more than allowed, also by the on-call engineer',
    held({ oncall: replicas(4) }, { workers: { replicas: 3 } }),
    'LimitExceeded: spec.workers.replicas: 4, not at most 3, by platform.limits (revision 4)',
  ],
  [
    'more than the tenant is allowed, though all tenants together are allowed more',
    held({ scaler: replicas(4) }, { workers: { replicas: 9 } }, { workers: { replicas: 3 } }),
    'LimitExceeded: spec.workers.replicas: 4, not at most 3, by platform.limits of tenant ads (revision 5)',
  ],
  [
    'more than all tenants are allowed, though this one is allowed more',
    held({ scaler: replicas(4) }, { workers: { replicas: 3 } }, { workers: { replicas: 9 } }),
    'LimitExceeded: spec.workers.replicas: 4, not at most 3, by platform.limits (revision 4)',
  ],
  [
    'a built-in default above the limit',
    held({}, { workers: { resources: { cpu: '500m', memory: '1Gi' } } }),
    'LimitExceeded: spec.workers.resources.limits.cpu: 1, not at most 500m, by platform.limits (revision 4)',
  ],
  [
    'the same quantity in other words',
    held(
      { oncall: { workers: { resources: { limits: { cpu: 0.5, memory: 1024 } } } } },
      { workers: { resources: { cpu: '500m', memory: '1Ki' } } },
    ),
    'spec',
  ],
  ['an image of an allowed place', held({}, { images: ['other.example/', 'r.example/'] }), 'spec'],
  [
    'an image of another place',
    held({}, { images: ['other.example/', 'r.example/team/'] }),
    'LimitExceeded: spec.container.image: "r.example/app:1", not an image under other.example/ or r.example/team/, by platform.limits (revision 4)',
  ],
];

for (const [reason, actual, expected] of LIMITS) {
  test(`limits of the platform: ${reason}`, () => assert.equal(actual, expected));
}

const IMAGES: readonly [image: string, prefix: string, isUnder: boolean][] = [
  ['r.example/team/app:1', 'r.example/team/', true],
  ['r.example/team/app:1', 'r.example/team', true],
  ['r.example/team-of-others/app', 'r.example/team', false],
  ['r.example.evil.example/app', 'r.example', false],
  ['r.example:5000/app', 'r.example', true],
  ['r.example/app:1', 'r.example/app:1', true],
  ['r.example/app:10', 'r.example/app:1', false],
  ['r.example/app@sha256:0', 'r.example/app', true],
  ['app', 'r.example/', false],
];

for (const [image, prefix, isUnder] of IMAGES) {
  test(`${image} ${isUnder ? 'is' : 'is not'} under ${prefix}`, () =>
    assert.equal(isImageUnder(image, prefix), isUnder));
}

const patch = (layer: 'scaler' | 'oncall', n: number): LayerContent =>
  layer === 'scaler'
    ? { kind: 'patch', layer, patch: replicas(n) }
    : { kind: 'patch', layer, patch: replicas(n), until: new Date(0) };
const HISTORY = [
  revisionOf(1, { kind: 'spec', spec: SPEC }),
  revisionOf(2, patch('scaler', 2) as never),
  revisionOf(3, patch('oncall', 3) as never),
  revisionOf(4, { kind: 'spec', spec: { ...SPEC, suspended: true } }),
  revisionOf(5, { kind: 'cleared', layer: 'oncall' }),
  revisionOf(6, { kind: 'tombstone' }),
];
const numbersAt = (n: number) => {
  const layers = asOf(HISTORY, n);
  return layers && [layers.job.revision, layers.scaler?.revision ?? null, layers.oncall?.revision ?? null];
};

test('the layers as they stood at each revision: the newest of each until then', () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6].map(numbersAt), [
    [1, null, null],
    [1, 2, null],
    [1, 2, 3],
    [4, 2, 3],
    [4, 2, 5],
    [6, 2, 5],
  ]);
});

test('how long an on-call layer was meant to last does not matter for what was: only recorded changes count', () => {
  const layers = asOf(HISTORY, 4);
  assert.ok(layers);
  assert.deepEqual(mergeLayers(layers, NOBODY).workers, { replicas: 3 });
});

test('a revision that is not there, or before which there was no job, stands for nothing', () => {
  assert.deepEqual([0, 7, 1.5].map(numbersAt), [null, null, null]);
  assert.equal(asOf(HISTORY.slice(1), 3), null);
});

test('the order of a history does not matter', () => {
  assert.deepEqual(asOf(HISTORY.toReversed(), 4), asOf(HISTORY, 4));
});
