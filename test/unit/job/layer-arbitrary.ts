import fc from 'fast-check';
import type { Goal, JobContent, JobRevision, OverlayContent, PlatformRevision } from '../../../src/job/goal.ts';
import { jobId, revision } from '../../../src/job/ids.ts';
import { effectiveGoal } from '../../../src/job/layers.ts';
import type { SpecPatch } from '../../../src/job/patch.ts';
import type { PlatformLimits } from '../../../src/job/platform.ts';
import type { JobSpec } from '../../../src/job/spec.ts';

/** Random patches and layers from a small vocabulary, so that they meet at the same fields again and again. */

type Fields = Record<string, fc.Arbitrary<unknown>>;

/** Some of the fields, now and then as null, now and then in place of all that was there. */
function mapOf(fields: Fields): fc.Arbitrary<SpecPatch> {
  const nullable = Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, fc.option(value, { freq: 6, nil: null })]),
  );
  return fc
    .tuple(fc.record(nullable, { requiredKeys: [] }), fc.nat(15))
    .map(([map, n]) => (n === 0 ? { ...map, $replace: true } : map) as SpecPatch);
}

const secret = fc.record({ name: fc.constantFrom('s', 't'), key: fc.constant('k') });
const envName = fc.constantFrom('A', 'B', 'C', 'D');

function entriesOf(name: fc.Arbitrary<string>, fields: readonly fc.Arbitrary<object>[]): fc.Arbitrary<unknown> {
  const mark = fc.constantFrom({}, {}, {}, { $replace: true });
  const entry = fc.oneof(
    { weight: 5, arbitrary: fc.tuple(name, fc.oneof(...fields), mark).map(([n, f, m]) => ({ name: n, ...f, ...m })) },
    { weight: 2, arbitrary: name.map((n) => ({ name: n, $remove: true })) },
  );
  const list = fc.uniqueArray(entry, { maxLength: 4, selector: (e) => e.name });
  return fc.tuple(list, fc.nat(9)).map(([entries, n]) => (n === 0 ? [{ $replace: true }, ...entries] : entries));
}

const env = entriesOf(envName, [
  fc.record({ value: fc.option(fc.constantFrom('x', 'y'), { freq: 6 }) }),
  fc.record({ secretKeyRef: mapOf({ name: fc.constantFrom('s', 't'), key: fc.constant('k') }) }),
  fc.record({ secretKeyRef: secret }),
]);
const ports = entriesOf(fc.constantFrom('a', 'b', 'c'), [
  fc.record({ port: fc.integer({ min: 1, max: 4 }) }),
  mapOf({ protocol: fc.constantFrom('TCP', 'UDP'), port: fc.integer({ min: 1, max: 4 }) }),
]);
const seconds = fc.integer({ min: 1, max: 3 });
const probe = fc.oneof(
  mapOf({ httpGet: mapOf({ path: fc.constantFrom('/a', '/b'), port: fc.constantFrom<string | number>('a', 1) }) }),
  mapOf({ tcpSocket: mapOf({ port: fc.constantFrom(1, 2) }), periodSeconds: seconds }),
  mapOf({ exec: fc.record({ command: fc.constantFrom(['a'], ['b', 'c']) }), timeoutSeconds: seconds }),
);
const peers = fc.constantFrom([], [{ job: 'j' }], [{ cidr: '10.0.0.0/8', ports: [{ port: 1 }] }]);
const quantities = (...texts: (string | number)[]) => fc.constantFrom(...texts);
const resources = mapOf({
  cpu: quantities('50m', 0.5, '1', '2', '2500m'),
  memory: quantities('64Mi', '256Mi', '1Gi', '1.5Gi'),
});

export const patchArbitrary: fc.Arbitrary<SpecPatch> = mapOf({
  container: mapOf({
    image: fc.constantFrom('r.example/a:1', 'r.example/b', 'other/c:1'),
    args: fc.constantFrom([], ['x'], ['x', 'y']),
    env,
    ports,
    probes: mapOf({ readiness: probe, liveness: probe }),
    runAsUser: fc.constantFrom(1, 2),
  }),
  workers: mapOf({
    replicas: fc.integer({ min: 0, max: 12 }),
    resources: mapOf({ requests: resources, limits: resources }),
  }),
  network: mapOf({ egress: peers, ingress: peers }),
  isolation: mapOf({ tier: fc.constant('namespace') }),
  suspended: fc.boolean(),
});

const specArbitrary = fc.record(
  {
    container: fc.record(
      {
        image: fc.constantFrom('r.example/a:1', 'other/c:1'),
        args: fc.constantFrom(['x'], ['z']),
        env: fc.uniqueArray(
          fc.oneof(
            fc.record({ name: envName, value: fc.constantFrom('x', 'z') }),
            fc.record({ name: envName, secretKeyRef: secret }),
          ),
          { maxLength: 3, selector: (e) => e.name },
        ),
        ports: fc.constantFrom([], [{ name: 'a', port: 1 }], [{ name: 'b', port: 2, protocol: 'UDP' }]),
        probes: fc.constantFrom({}, { readiness: { tcpSocket: { port: 1 } } }),
      },
      { requiredKeys: ['image'] },
    ),
    workers: fc.record(
      {
        replicas: fc.integer({ min: 0, max: 12 }),
        resources: fc.record({ limits: fc.constantFrom({ cpu: '1' }, { memory: '1Gi' }) }, { requiredKeys: [] }),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: ['container'] },
) as fc.Arbitrary<unknown> as fc.Arbitrary<JobSpec>;

const limitsArbitrary = fc.record(
  {
    workers: fc.record(
      {
        replicas: fc.integer({ min: 2, max: 12 }),
        resources: fc.record(
          { cpu: fc.constantFrom('1', '2', '4'), memory: fc.constantFrom('256Mi', '1Gi', '2Gi') },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    ),
    images: fc.constantFrom(['r.example/'], ['r.example', 'other/c']),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<PlatformLimits>;

const written = (n: number) => ({
  revision: revision(n),
  author: `author ${n}`,
  source: 'cli' as const,
  reason: n % 2 === 0 ? `reason ${n}` : null,
  idempotencyKey: null,
  createdAt: new Date(n * 1000),
  contentHash: 'f'.repeat(64),
});

export const revisionOf = <C extends JobContent | OverlayContent>(n: number, content: C): JobRevision<C> => ({
  ...written(n),
  content,
});

export const platformOf = (
  tenant: string | null,
  n: number,
  defaults: SpecPatch,
  limits: PlatformLimits = {},
): PlatformRevision => ({ ...written(n), tenant, content: { defaults, limits } });

/** A goal of these layers, as the store would give it. */
export function goalOf(layers: Goal['layers'], platform: Goal['platform'] = { all: null, tenant: null }): Goal {
  const newest = Math.max(layers.job.revision, layers.scaler?.revision ?? 0, layers.oncall?.revision ?? 0);
  const job = { id: jobId('11111111-1111-4111-8111-111111111111'), tenant: 'ads', name: 'clicks' };
  return { job, revision: revision(newest), layers, platform, content: effectiveGoal(layers, platform) };
}

const sometimes = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { freq: 3, nil: null });

/** Goals of random layers; each layer is well formed, together they may not be. */
export const goalArbitrary: fc.Arbitrary<Goal> = fc
  .record({
    all: sometimes(fc.tuple(patchArbitrary, limitsArbitrary)),
    tenant: sometimes(fc.tuple(patchArbitrary, limitsArbitrary)),
    spec: specArbitrary,
    scaler: sometimes(patchArbitrary),
    oncall: sometimes(patchArbitrary),
    last: fc.nat(40),
  })
  .map(({ all, tenant, spec, scaler, oncall, last }) =>
    goalOf(
      {
        job: revisionOf(1, last === 0 ? { kind: 'tombstone' } : { kind: 'spec', spec }),
        scaler: scaler && revisionOf(2, { kind: 'patch', layer: 'scaler', patch: scaler }),
        oncall:
          last === 1
            ? revisionOf(4, { kind: 'cleared', layer: 'oncall' })
            : oncall && revisionOf(3, { kind: 'patch', layer: 'oncall', patch: oncall, until: null }),
      },
      { all: all && platformOf(null, 5, ...all), tenant: tenant && platformOf('ads', 6, ...tenant) },
    ),
  );
