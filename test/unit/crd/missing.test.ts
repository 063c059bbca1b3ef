import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STREAM_JOB_DEFINITION } from '../../../src/crd/definition.ts';
import { missingFields, requiredPaths } from '../../../src/crd/missing.ts';

type Editable = { [field: string]: Editable } & { [index: number]: Editable };

/** Our definition with a change, as an older one may look. */
function changed(edit: (version: Editable, root: Editable) => void): unknown {
  const live = structuredClone(STREAM_JOB_DEFINITION) as unknown as { spec: { versions: [Editable] } };
  const [version] = live.spec.versions;
  edit(version, version.schema?.openAPIV3Schema as unknown as Editable);
  return live;
}
const at = (node: Editable, ...path: string[]): Editable => path.reduce((found, step) => found[step] as Editable, node);

const cases: [reason: string, live: unknown, missing: string[]][] = [
  ['our own definition lacks nothing', STREAM_JOB_DEFINITION, []],
  [
    'a field that is not there is named, without what is below it',
    changed((_, root) => delete at(root, 'properties', 'spec', 'properties').isolation),
    ['spec.isolation'],
  ],
  [
    'a field of the entries of a list',
    changed((_, root) => {
      const { properties } = at(root, 'properties', 'spec', 'properties', 'container', 'properties', 'env', 'items');
      delete properties?.secretKeyRef;
    }),
    ['spec.container.env[].secretKeyRef'],
  ],
  [
    'a field of the status, which a write would lose without a word',
    changed((_, root) => delete at(root, 'properties', 'status', 'properties').writtenBy),
    ['status.writtenBy'],
  ],
  [
    'a word that an older enum does not know',
    changed((_, root) => {
      const tier = at(root, 'properties', 'spec', 'properties', 'isolation', 'properties', 'tier');
      Object.assign(tier, { enum: ['namespace'] });
    }),
    ['spec.isolation.tier: shared'],
  ],
  [
    'a missing status subresource',
    changed((version) => delete at(version, 'subresources').status),
    ['subresource status'],
  ],
  [
    'both subresources, where there are none at all',
    changed((version) => delete version.subresources),
    ['subresource status', 'subresource scale'],
  ],
  [
    'a version that is there but not served',
    changed((version) => Object.assign(version, { served: false })),
    ['version v1alpha1'],
  ],
  [
    'a version that is not there',
    changed((version) => Object.assign(version, { name: 'v1alpha0' })),
    ['version v1alpha1'],
  ],
  [
    'a newer definition, with more than ours, lacks nothing',
    changed((_, root) => Object.assign(at(root, 'properties', 'spec', 'properties'), { flink: { type: 'object' } })),
    [],
  ],
  [
    'a part that keeps whatever is written lacks nothing',
    changed((_, root) =>
      Object.assign(at(root, 'properties'), {
        status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      }),
    ),
    [],
  ],
];

for (const [reason, live, missing] of cases) {
  test(reason, () => assert.deepEqual(missingFields(live), missing));
}

test('what is no definition is said, and never taken for a complete one', () => {
  assert.throws(() => missingFields({ kind: 'Status' }));
});

test('the paths that an operator needs are those of spec and status, entries of lists included', () => {
  const paths = requiredPaths();
  for (const path of ['spec.container.image', 'spec.container.env[].secretKeyRef.key', 'status.conditions[].reason']) {
    assert.ok(paths.includes(path), path);
  }
  assert.equal(new Set(paths).size, paths.length);
});
