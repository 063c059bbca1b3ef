import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { digest, isOurLabel } from '../../../src/plan/digest.ts';
import { drift } from '../../../src/plan/drift.ts';
import { CELL_KIND_NAMES, type KubeObject, LABELS } from '../../../src/plan/objects.ts';
import { goalHash } from '../../../src/plan/observation.ts';
import { specArbitrary } from '../../support/arbitrary.ts';
import { renderGoal } from '../../support/cells.ts';
import { goalOf } from '../../support/goals.ts';

const hashOf = ({ kind, ...object }: KubeObject): string =>
  goalHash({ kind, digest: digest(kind, object), revision: object.metadata.labels?.[LABELS.revision] ?? null });

/** What the operator goes by. */
const isSame = (wanted: KubeObject, found: KubeObject): boolean => hashOf(wanted) === hashOf(found);

/** Values that are hard to tell apart: empty ones in each other, texts that look like other values. */
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<unknown>(null, {}, [], '', 0, 1, '1', false, true, '1;', 's1:a', '{}', [{}], [null], [[]]),
    fc.array(tie('any'), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom('a', 'podSelector', 'namespaceSelector', 'spec'), tie('any'), { maxKeys: 2 }),
  ),
})).any;

type Fields = Record<string | number, unknown>;

const containersIn = (node: unknown): Fields[] =>
  typeof node === 'object' && node !== null ? [node as Fields, ...Object.values(node).flatMap(containersIn)] : [];

/** One change somewhere in an object, as a hand, a webhook or the API server itself may make it. */
const mutation = fc.record({
  at: fc.nat(),
  field: fc.nat(),
  how: fc.constantFrom('set', 'delete', 'add', 'empty', 'grow'),
  key: fc.constantFrom('addedByHand', 'podSelector', 'clusterIP', 'secrets', 'status', 'bulkhead.dev/x', 'theirs/x'),
  value,
});
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutate(object: KubeObject, mutations: readonly Mutation[]): KubeObject {
  const copy = structuredClone({ ...object, metadata: { annotations: {}, ...object.metadata } }) as KubeObject & Fields;
  for (const { at, field, how, key, value: given } of mutations) {
    const put: unknown = structuredClone(given);
    const { kind: _kind, apiVersion: _apiVersion, metadata, ...body } = copy;
    const shared = [metadata.labels, metadata.annotations] as Fields[];
    const places: Fields[] = [copy, ...shared, ...containersIn(body).slice(1)];
    const place = places[at % places.length] ?? copy;
    const isText = shared.includes(place);
    const names = Object.keys(place).filter((name) => !['kind', 'apiVersion', 'metadata'].includes(name));
    const name = names[field % Math.max(1, names.length)];
    const written = isText ? JSON.stringify(put) : put;
    if (Array.isArray(place)) {
      if (how === 'grow') place.push(put);
      else if (how === 'delete') place.pop();
      else if (place.length > 0) place[field % place.length] = put;
    } else if (how === 'add' || how === 'grow') place[key] = written;
    else if (name === undefined) continue;
    else if (how === 'delete') delete place[name];
    else place[name] = how === 'empty' ? (isText ? '' : Array.isArray(place[name]) ? [] : {}) : written;
  }
  return copy;
}

const rendered = specArbitrary.chain((spec) => fc.constantFrom(...renderGoal(goalOf(spec))));

test('two objects have one digest exactly where no drift is found between them, whatever somebody did to one', () => {
  let same = 0;
  fc.assert(
    fc.property(rendered, fc.array(mutation, { maxLength: 3 }), (wanted, mutations) => {
      const found = mutate(wanted, mutations);
      const drifts = drift(wanted, found);
      if (drifts.length === 0) same += 1;
      assert.equal(isSame(wanted, found), drifts.length === 0, JSON.stringify(drifts));
    }),
    { numRuns: 3_000 },
  );
  assert.ok(same > 300, `both answers are to be tried; ${same} times nothing had drifted`);
});

test('bodies of any values have one digest exactly where no drift is found between them', () => {
  const object = (spec: unknown): KubeObject => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'a' },
    spec,
  });
  fc.assert(
    fc.property(value, value, (a, b) => {
      assert.equal(isSame(object(a), object(b)), drift(object(a), object(b)).length === 0);
    }),
    { numRuns: 5_000 },
  );
});

test('every label that a cell asks for takes part, or nobody would see that it is gone', () => {
  fc.assert(
    fc.property(rendered, ({ kind, metadata }) => {
      assert.deepEqual(
        Object.keys(metadata.labels ?? {}).filter((key) => !isOurLabel(kind, key)),
        [],
      );
      assert.equal(metadata.annotations, undefined);
    }),
  );
});

test('a digest is a digest of the kind: what the server allocates for one counts in another', () => {
  const object = (kind: KubeObject['kind'], field: object): KubeObject => ({
    apiVersion: 'v1',
    kind,
    metadata: { name: 'a' },
    ...field,
  });
  const ignoring = CELL_KIND_NAMES.filter((kind) =>
    isSame(object(kind, {}), object(kind, { secrets: [{ name: 'x' }] })),
  );
  assert.deepEqual(ignoring, ['ServiceAccount']);
});

test('a policy that lets in all namespaces is not one that lets in the own: an empty selector is no absent one', () => {
  const policy = (peer: object): KubeObject => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'a' },
    spec: { ingress: [{ from: [peer] }] },
  });
  const own = policy({ podSelector: {} });
  const all = policy({ namespaceSelector: {} });
  assert.equal(isSame(own, all), false);
  assert.equal(drift(own, all).length, 2);
});
