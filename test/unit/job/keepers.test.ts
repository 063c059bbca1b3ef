import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson, isMap, type Json } from '../../../src/job/canonical.ts';
import { changedFields, keptAmong } from '../../../src/job/keepers.ts';
import { merge } from '../../../src/job/merge.ts';
import type { SpecPatch } from '../../../src/job/patch.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import type { FieldKeeper } from '../../../src/job/status.ts';
import { specArbitrary } from '../../support/arbitrary.ts';

const image = 'app:1';
const env = [{ name: 'A', value: '1' }];

const CHANGES: readonly {
  readonly why: string;
  readonly before: JobSpec | null;
  readonly after: JobSpec;
  readonly fields: readonly string[];
}[] = [
  {
    why: 'equal specs differ in nothing',
    before: { container: { image } },
    after: { container: { image } },
    fields: [],
  },
  {
    why: 'the order of fields does not matter',
    before: { container: { image, runAsUser: 7 }, suspended: true },
    after: { suspended: true, container: { runAsUser: 7, image } },
    fields: [],
  },
  {
    why: 'a value that changes is its own path, not that of the maps around it',
    before: { container: { image }, workers: { replicas: 2 } },
    after: { container: { image: 'app:2' }, workers: { replicas: 3 } },
    fields: ['container.image', 'workers.replicas'],
  },
  {
    why: 'a map that comes is told by its fields',
    before: { container: { image } },
    after: { container: { image }, workers: { resources: { limits: { cpu: 1, memory: '1Gi' } } } },
    fields: ['workers.resources.limits.cpu', 'workers.resources.limits.memory'],
  },
  {
    why: 'and so is one that goes',
    before: { container: { image }, workers: { replicas: 2 } },
    after: { container: { image } },
    fields: ['workers.replicas'],
  },
  {
    why: 'a map without fields can only be told as itself',
    before: { container: { image }, workers: {} },
    after: { container: { image } },
    fields: ['workers'],
  },
  {
    why: 'an empty map that is filled changes by what is filled in',
    before: { container: { image }, workers: {} },
    after: { container: { image }, workers: { replicas: 1 } },
    fields: ['workers.replicas'],
  },
  {
    why: 'a list is one field, whatever differs in it',
    before: { container: { image, env } },
    after: { container: { image, env: [...env, { name: 'B', secretKeyRef: { name: 's', key: 'k' } }] } },
    fields: ['container.env'],
  },
  {
    why: 'an empty list is not the same as none',
    before: { container: { image, env: [] } },
    after: { container: { image } },
    fields: ['container.env'],
  },
  {
    why: 'false is not the same as nothing: layers below may say true',
    before: { container: { image } },
    after: { container: { image }, suspended: false },
    fields: ['suspended'],
  },
  {
    why: 'where there was no job, every field is new',
    before: null,
    after: { container: { image, env }, workers: { replicas: 1 } },
    fields: ['container.image', 'container.env', 'workers.replicas'],
  },
];

for (const { why, before, after, fields } of CHANGES) {
  test(`changed fields: ${why}`, () => assert.deepEqual(changedFields(before, after), fields));
}

const argo = { manager: 'argocd-controller', fields: ['container.image', 'workers.replicas'] };

const TOUCHED: readonly {
  readonly why: string;
  readonly keepers: readonly FieldKeeper[];
  readonly fields: readonly string[];
  readonly touched: readonly FieldKeeper[];
}[] = [
  { why: 'nobody keeps anything', keepers: [], fields: ['suspended'], touched: [] },
  { why: 'nothing changes', keepers: [argo], fields: [], touched: [] },
  { why: 'what changes is kept by nobody', keepers: [argo], fields: ['suspended', 'container.env'], touched: [] },
  {
    why: 'of what is kept only what changes counts',
    keepers: [argo],
    fields: ['workers.replicas', 'suspended'],
    touched: [{ manager: 'argocd-controller', fields: ['workers.replicas'] }],
  },
  {
    why: 'who keeps a field keeps all below it',
    keepers: [{ manager: 'flux', fields: ['workers'] }],
    fields: ['workers.resources.limits.cpu'],
    touched: [{ manager: 'flux', fields: ['workers'] }],
  },
  {
    why: 'who keeps a field below is touched by a change of the one above',
    keepers: [{ manager: 'flux', fields: ['workers.resources.limits.cpu', 'workers.resources'] }],
    fields: ['workers'],
    touched: [{ manager: 'flux', fields: ['workers.resources.limits.cpu', 'workers.resources'] }],
  },
  {
    why: 'a name that only begins alike is another field',
    keepers: [{ manager: 'flux', fields: ['container.args', 'network.egress'] }],
    fields: ['container.arg', 'network.egressions', 'net'],
    touched: [],
  },
  {
    why: 'the whole spec is above all fields',
    keepers: [{ manager: 'flux', fields: [''] }],
    fields: ['suspended'],
    touched: [{ manager: 'flux', fields: [''] }],
  },
  {
    why: 'several keepers are named in their order',
    keepers: [argo, { manager: 'ann', fields: ['suspended'] }, { manager: 'kubectl', fields: ['workers.replicas'] }],
    fields: ['workers.replicas'],
    touched: [
      { manager: 'argocd-controller', fields: ['workers.replicas'] },
      { manager: 'kubectl', fields: ['workers.replicas'] },
    ],
  },
];

for (const { why, keepers, fields, touched } of TOUCHED) {
  test(`kept among: ${why}`, () => assert.deepEqual(keptAmong(keepers, fields), touched));
}

test('no fields differ exactly where the specs are equal', () => {
  fc.assert(
    fc.property(specArbitrary, specArbitrary, (one, other) => {
      assert.equal(changedFields(one, other).length === 0, canonicalJson(one) === canonicalJson(other));
      assert.deepEqual(changedFields(one, structuredClone(one)), []);
    }),
  );
});

/** @returns the value at a path; undefined where it leads nowhere */
const at = (spec: unknown, path: string): unknown =>
  path.split('.').reduce<unknown>((value, field) => (isMap(value) ? value[field] : undefined), spec);

test('both ways the same fields differ, none of them lies above another, and each differs', () => {
  fc.assert(
    fc.property(specArbitrary, specArbitrary, (one, other) => {
      const fields = changedFields(one, other);
      assert.deepEqual([...fields].sort(), changedFields(other, one).sort());
      assert.equal(new Set(fields).size, fields.length);
      assert.ok(fields.every((field) => !fields.some((it) => it.startsWith(`${field}.`))));
      for (const field of fields) {
        assert.notEqual(canonicalJson({ at: at(one, field) }), canonicalJson({ at: at(other, field) }));
      }
    }),
  );
});

/** The patch that sets these fields as `spec` has them, and takes away those that it has not. */
const patchOf = (fields: readonly string[], spec: JobSpec): SpecPatch =>
  fields.reduce<SpecPatch>((patch, field) => {
    const steps = field.split('.');
    const said = at(spec, field) ?? null;
    // A list of named entries would be merged into the one that is there.
    const value = Array.isArray(said) && /env$|container\.ports$/.test(field) ? [{ $replace: true }, ...said] : said;
    const inner = steps.reduceRight<Json>((below, step) => ({ [step]: below }), value as Json);
    return deepMerge(patch, inner) as SpecPatch;
  }, {});

const deepMerge = (one: Json, other: Json): Json =>
  isMap(one) && isMap(other)
    ? Object.fromEntries(
        [...new Set([...Object.keys(one), ...Object.keys(other)])].map((key) => [
          key,
          one[key] === undefined
            ? (other[key] ?? null)
            : other[key] === undefined
              ? one[key]
              : deepMerge(one[key], other[key]),
        ]),
      )
    : other;

/** Maps that say nothing, which a patch can leave behind, taken away. */
const withoutEmpty = (value: Json): Json =>
  isMap(value)
    ? Object.fromEntries(
        Object.entries(value)
          .map(([key, inner]) => [key, withoutEmpty(inner)] as const)
          .filter(([, inner]) => !isMap(inner) || Object.keys(inner).length > 0),
      )
    : value;

test('the fields say all that differs: whoever sets them has the other spec', () => {
  fc.assert(
    fc.property(specArbitrary, specArbitrary, (before, after) => {
      const patched = merge(before as unknown as SpecPatch, patchOf(changedFields(before, after), after));
      assert.equal(canonicalJson(withoutEmpty(patched)), canonicalJson(withoutEmpty(after as unknown as Json)));
    }),
  );
});

const pathArbitrary = fc
  .array(fc.constantFrom('a', 'ab', 'b'), { minLength: 1, maxLength: 3 })
  .map((steps) => steps.join('.'));
const keeperArbitrary = fc.record({
  manager: fc.constantFrom('argo', 'flux', 'ann'),
  fields: fc.uniqueArray(pathArbitrary, { minLength: 1, maxLength: 4 }),
});

test('what is touched is part of what is kept, and more changes never touch less', () => {
  const paths = fc.uniqueArray(pathArbitrary, { maxLength: 4 });
  fc.assert(
    fc.property(fc.array(keeperArbitrary, { maxLength: 3 }), paths, paths, (keepers, some, more) => {
      const kept = (fields: readonly string[]) =>
        keptAmong(keepers, fields).flatMap(({ manager, fields: own }) => own.map((field) => `${manager} ${field}`));
      const all = keepers.flatMap(({ manager, fields }) => fields.map((field) => `${manager} ${field}`));
      const [few, many] = [kept(some), kept([...some, ...more])];
      assert.ok(few.every((it) => all.includes(it)));
      assert.ok(few.every((it) => many.includes(it)));
      assert.deepEqual(new Set(many), new Set([...few, ...kept(more)]));
    }),
  );
});
