import fc from 'fast-check';
import type { Goal, JobContent, JobRevision, OverlayContent, PlatformRevision } from '../../../src/job/goal.ts';
import { jobId, revision } from '../../../src/job/ids.ts';
import { effectiveGoal } from '../../../src/job/layers.ts';
import type { SpecPatch } from '../../../src/job/patch.ts';
import type { PlatformLimits } from '../../../src/job/platform.ts';
import type { JobSpec } from '../../../src/job/spec.ts';

/** Random patches and layers from a small vocabulary, so that they meet at the same fields again and again. */

type Fields = Record<string, fc.Arbitrary<unknown>>;

/** As fast-check's, but the maps are ordinary ones, as a parser makes them. */
const record = ((fields: Fields, constraints: object = {}) =>
  fc.record(fields, { ...constraints, noNullPrototype: true })) as typeof fc.record;

const secret = record({ name: fc.constantFrom('s', 't'), key: fc.constant('k') });
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

const peers = fc.constantFrom([], [{ job: 'j' }], [{ cidr: '10.0.0.0/8', ports: [{ port: 1 }] }]);
const seconds = fc.integer({ min: 1, max: 3 });

/**
 * @param oneInNull how seldom a field is null
 * @param wholeOnly whether what is in a list, and a probe, is always complete: then layers seldom contradict each other
 */
function patchesOf(oneInNull: number, wholeOnly: boolean): fc.Arbitrary<SpecPatch> {
  const orNull = (value: fc.Arbitrary<unknown>) => fc.option(value, { freq: oneInNull, nil: null });
  /** Some of the fields, now and then as null, now and then in place of all that was there. */
  const mapOf = (fields: Fields): fc.Arbitrary<SpecPatch> =>
    fc
      .tuple(
        record(Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, orNull(value)])), {
          requiredKeys: [],
        }),
        fc.nat(oneInNull * 3),
      )
      .map(([map, n]) => (n === 0 ? { ...map, $replace: true } : map) as SpecPatch);
  const partOf = (fields: Fields) => (wholeOnly ? record(fields) : mapOf(fields));

  const value = fc.constantFrom('x', 'y');
  const env = entriesOf(envName, [
    record({ value: wholeOnly ? value : orNull(value) }),
    record({ secretKeyRef: partOf({ name: fc.constantFrom('s', 't'), key: fc.constant('k') }) }),
    record({ secretKeyRef: secret }),
  ]);
  const ports = entriesOf(fc.constantFrom('a', 'b', 'c'), [
    record({ port: fc.integer({ min: 1, max: wholeOnly ? 99 : 4 }) }),
    partOf({ protocol: fc.constantFrom('TCP', 'UDP'), port: fc.integer({ min: 1, max: wholeOnly ? 99 : 4 }) }),
  ]);
  const probePort = fc.constantFrom<string | number>(...(wholeOnly ? [1, 2] : ['a', 1]));
  const probe = fc.oneof(
    partOf({ httpGet: partOf({ path: fc.constantFrom('/a', '/b'), port: probePort }) }),
    partOf({ tcpSocket: partOf({ port: probePort }), periodSeconds: seconds }),
    partOf({ exec: record({ command: fc.constantFrom(['a'], ['b', 'c']) }), timeoutSeconds: seconds }),
  );
  const resources = (cpu: readonly (string | number)[], memory: readonly string[]) =>
    mapOf({ cpu: fc.constantFrom(...cpu), memory: fc.constantFrom(...memory) });
  const image = fc.constantFrom('r.example/a:1', 'r.example/b', 'other/c:1');
  return mapOf({
    container: mapOf({
      image,
      args: fc.constantFrom([], ['x'], ['x', 'y']),
      env,
      ports,
      probes: mapOf({ readiness: probe, liveness: probe }),
      runAsUser: fc.constantFrom(1, 2),
    }),
    workers: mapOf({
      replicas: fc.integer({ min: 0, max: 12 }),
      resources: mapOf({
        requests: resources(['50m', 0.1, '1500m'], ['64Mi', '0.1Gi', '1.5Gi']),
        limits: resources([0.5, '1', '2500m'], ['256Mi', '1Gi', '2Gi']),
      }),
    }),
    network: mapOf({ egress: peers, ingress: peers }),
    isolation: mapOf({ tier: fc.constant('namespace') }),
    suspended: fc.boolean(),
  });
}

/** Of the wild kind: full of nulls, marks and halves of things. */
export const patchArbitrary = patchesOf(6, false);
/** As people write them, mostly. */
const tamePatch = patchesOf(40, true);

const specArbitrary = record(
  {
    container: record(
      {
        image: fc.constantFrom('r.example/a:1', 'other/c:1'),
        args: fc.constantFrom(['x'], ['z']),
        env: fc.uniqueArray(
          fc.oneof(
            record({ name: envName, value: fc.constantFrom('x', 'z') }),
            record({ name: envName, secretKeyRef: secret }),
          ),
          { maxLength: 3, selector: (e) => e.name },
        ),
        ports: fc.constantFrom([], [{ name: 'a', port: 1 }], [{ name: 'b', port: 2, protocol: 'UDP' }]),
        probes: fc.constantFrom({}, { readiness: { tcpSocket: { port: 1 } } }),
      },
      { requiredKeys: ['image'] },
    ),
    workers: record(
      {
        replicas: fc.integer({ min: 0, max: 12 }),
        resources: record({ limits: fc.constantFrom({ cpu: '1' }, { memory: '1Gi' }) }, { requiredKeys: [] }),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: ['container'] },
) as fc.Arbitrary<unknown> as fc.Arbitrary<JobSpec>;

const limitsArbitrary = record(
  {
    workers: record(
      {
        replicas: fc.integer({ min: 2, max: 12 }),
        resources: record(
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

const layerPatch = fc.oneof({ weight: 9, arbitrary: tamePatch }, { weight: 1, arbitrary: patchArbitrary });
const sometimes = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { freq: 3, nil: null });

/** Goals of random layers; each layer is well formed, together they may not be. */
export const goalArbitrary: fc.Arbitrary<Goal> = record({
  all: sometimes(fc.tuple(layerPatch, limitsArbitrary)),
  tenant: sometimes(fc.tuple(layerPatch, limitsArbitrary)),
  spec: specArbitrary,
  scaler: sometimes(layerPatch),
  oncall: sometimes(layerPatch),
  last: fc.nat(40),
}).map(({ all, tenant, spec, scaler, oncall, last }) =>
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
