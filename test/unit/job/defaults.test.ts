import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson } from '../../../src/job/canonical.ts';
import { BUILT_IN_DEFAULTS, effectiveProblems, effectiveSpec } from '../../../src/job/defaults.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import { specArbitrary } from '../../support/arbitrary.ts';

const MINIMAL: JobSpec = { container: { image: 'app' } };
const withResources = (resources: NonNullable<JobSpec['workers']>['resources']): JobSpec => ({
  ...MINIMAL,
  workers: { resources },
});

test('a job that says nothing but its image gets every built-in default', () => {
  assert.deepEqual(effectiveSpec(MINIMAL), {
    container: {
      image: 'app',
      command: [],
      args: [],
      env: [],
      ports: [],
      probes: { readiness: null, liveness: null, startup: null },
      runAsUser: 65532,
    },
    workers: { replicas: 1, requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '1', memory: '256Mi' } },
    network: { egress: [], ingress: [] },
    tier: 'namespace',
    suspended: false,
  });
});

test('the built-in defaults agree with each other', () => {
  assert.deepEqual(effectiveProblems(effectiveSpec(MINIMAL)), []);
});

test('what a job says wins over the default beside it, field by field', () => {
  const spec = withResources({ requests: { cpu: 0.25 }, limits: { memory: '1024Mi' } });
  const { requests, limits } = effectiveSpec({ ...spec, suspended: true }).workers;
  assert.deepEqual(requests, { cpu: '250m', memory: BUILT_IN_DEFAULTS.requests.memory });
  assert.deepEqual(limits, { cpu: BUILT_IN_DEFAULTS.limits.cpu, memory: '1Gi' });
  assert.equal(effectiveSpec({ ...MINIMAL, workers: { replicas: 0 } }).workers.replicas, 0);
  assert.equal(effectiveSpec({ ...MINIMAL, suspended: true }).suspended, true);
});

test('a limit alone is enough: a default request yields to it, and the job that wrote it runs', () => {
  const { requests, limits } = effectiveSpec(withResources({ limits: { cpu: '50m', memory: '64Mi' } })).workers;
  assert.deepEqual(requests, limits);
});

test('a port that names no protocol is TCP', () => {
  const ports = [
    { name: 'a', port: 1 },
    { name: 'b', port: 2, protocol: 'UDP' as const },
  ];
  assert.deepEqual(
    effectiveSpec({ container: { image: 'app', ports } }).container.ports.map((p) => p.protocol),
    ['TCP', 'UDP'],
  );
});

const CASES: readonly [reason: string, spec: JobSpec, paths: readonly string[]][] = [
  ['equal is allowed', withResources({ requests: { cpu: '1' }, limits: { cpu: '1000m' } }), []],
  ['a request above the limit', withResources({ requests: { cpu: '1001m' }, limits: { cpu: 1 } }), ['cpu']],
  ['units do not hide it', withResources({ requests: { memory: '1Gi' }, limits: { memory: '1G' } }), ['memory']],
  ['a request above the default limit', withResources({ requests: { memory: '1Gi' } }), ['memory']],
  ['a limit below the default request is what is then requested', withResources({ limits: { cpu: '50m' } }), []],
];

for (const [reason, spec, expected] of CASES) {
  test(`requests may not be above limits: ${reason}`, () => {
    const problems = effectiveProblems(effectiveSpec(spec));
    assert.deepEqual(
      problems.map((p) => p.path.join('.')),
      expected.map((resource) => `spec.workers.resources.requests.${resource}`),
    );
    for (const { expected: remedy } of problems) assert.match(remedy, /^at most the limit, .*; set spec\.workers/);
  });
}

test('filling in the defaults is pure: the spec is not touched and the result is the same each time', () => {
  fc.assert(
    fc.property(specArbitrary, (spec) => {
      const before = canonicalJson(spec);
      const first = canonicalJson(effectiveSpec(spec));
      assert.equal(canonicalJson(effectiveSpec(spec)), first);
      assert.equal(canonicalJson(spec), before);
    }),
    { numRuns: 200 },
  );
});
