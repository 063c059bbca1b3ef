import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { keepsUnknown } from '../../../security/manifests/index.ts';
import { judgeScore } from '../../../security/manifests/kube-score.ts';
import { crdSchemaFiles, schemaFiles, strict } from '../../../security/manifests/schemas.ts';

const check = (id: string, grade: number, skipped = false) => ({
  check: { id },
  grade,
  skipped,
  comments: grade < 10 ? [{ path: 'operator', summary: 'is bad' }] : null,
});
const report = (...checks: unknown[]) => [{ object_name: 'Deployment/x', checks }];

describe('what kube-score says', () => {
  test('critical, warning and nearly faultless are findings', () => {
    const { checks, findings } = judgeScore(report(check('a', 1), check('b', 5), check('c', 7), check('d', 10)));
    assert.equal(checks, 4);
    assert.deepEqual(findings, [
      'Deployment/x: a: operator: is bad',
      'Deployment/x: b: operator: is bad',
      'Deployment/x: c: operator: is bad',
    ]);
  });
  test('what it skipped is none', () => assert.deepEqual(judgeScore(report(check('a', 1, true))).findings, []));
  test('an exception is no finding, and is told', () => {
    const { findings, excepted } = judgeScore(report(check('container-image-pull-policy', 1)));
    assert.deepEqual([findings, excepted], [[], ['container-image-pull-policy']]);
  });
  test('kinds that it does not know are none', () => assert.equal(judgeScore(null).checks, 0));
});

describe('schemas are strict', () => {
  const cases: readonly [what: string, from: unknown, to: unknown][] = [
    [
      'a map takes the fields that it names',
      { type: 'object', properties: { a: { type: 'string' } } },
      { type: 'object', properties: { a: { type: 'string' } }, additionalProperties: false },
    ],
    [
      'a map of anything stays one',
      { type: 'object', additionalProperties: { type: 'string' } },
      { type: 'object', additionalProperties: { type: 'string' } },
    ],
    [
      'what Kubernetes keeps is taken',
      { properties: {}, 'x-kubernetes-preserve-unknown-fields': true },
      { properties: {}, 'x-kubernetes-preserve-unknown-fields': true },
    ],
    [
      'a number or a text is either',
      { 'x-kubernetes-int-or-string': true },
      { oneOf: [{ type: 'string' }, { type: 'integer' }] },
    ],
    [
      'fields may be called like keywords',
      { properties: { default: { type: 'string' }, properties: { type: 'object' } } },
      { properties: { default: { type: 'string' }, properties: { type: 'object' } }, additionalProperties: false },
    ],
  ];
  for (const [what, from, to] of cases) test(what, () => assert.deepEqual(strict(from), to));
});

test('each kind of an API server has a file with all that it refers to and nothing else', () => {
  const kinds = [
    { group: 'apps', version: 'v1', kind: 'Thing' },
    { group: '', version: 'v1', kind: 'Old' },
  ];
  const definitions = {
    Thing: { 'x-kubernetes-group-version-kind': kinds, properties: { a: { $ref: '#/definitions/Part' } } },
    Part: { properties: { again: { $ref: '#/definitions/Thing' } } },
    Other: { properties: {} },
  };
  const files = schemaFiles({ definitions });
  assert.deepEqual(
    files.map(({ path }) => path),
    ['apps/v1/thing.json', 'v1/v1/old.json'],
  );
  const [{ schema } = { schema: null }] = files;
  assert.deepEqual(Object.keys((schema as { definitions: object }).definitions).sort(), ['Part', 'Thing']);
});

test('a CRD’s schema is strict, but for metadata, which Kubernetes knows', () => {
  const openAPIV3Schema = {
    type: 'object',
    properties: { metadata: { properties: { name: {} } }, spec: { properties: {} } },
  };
  const spec = {
    group: 'bulkhead.dev',
    names: { kind: 'StreamJob' },
    versions: [{ name: 'v1', schema: { openAPIV3Schema } }],
  };
  const crd = { apiVersion: 'x', kind: 'CustomResourceDefinition', metadata: { name: 'x' }, spec };
  const [file] = crdSchemaFiles(crd);
  assert.equal(file?.path, 'bulkhead.dev/v1/streamjob.json');
  const { properties } = file.schema as { properties: Record<string, { additionalProperties?: unknown }> };
  assert.equal(properties.spec?.additionalProperties, false);
  assert.equal(properties.metadata?.additionalProperties, undefined);
});

test('a CRD that keeps fields which nobody described is found', () => {
  assert.ok(keepsUnknown({ spec: { a: { 'x-kubernetes-preserve-unknown-fields': true } } }));
  assert.ok(!keepsUnknown({ spec: { a: { type: 'object' } } }));
});
