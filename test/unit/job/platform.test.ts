import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseDocuments } from '../../../src/job/document.ts';
import { duplicatePlatforms, parsePlatforms, platformYaml } from '../../../src/job/platform.ts';
import { goalArbitrary } from './layer-arbitrary.ts';

const HEAD = 'apiVersion: bulkhead.dev/v1alpha1\nkind: Platform\n';
const FULL = `${HEAD}metadata: {namespace: ads}
spec:
  defaults:
    container: {env: [{name: REGION, value: eu}, {name: OLD, $remove: true}]}
    workers: {replicas: 2, resources: {limits: {memory: null}}}
  limits:
    workers: {replicas: 20, resources: {cpu: 2, memory: 4Gi}}
    images: [registry.example/, "other.example:5000/team/app"]
`;
const said = (text: string) =>
  parsePlatforms(text, 'f').problems.map((p) => `${p.position.line}:${p.position.column} ${p.path}: ${p.message}`);

test('what the platform says is read with its tenant and its place; a limit is text, however it was written', () => {
  assert.deepEqual(parsePlatforms(FULL, 'f'), {
    platforms: [
      {
        tenant: 'ads',
        content: {
          defaults: {
            container: {
              env: [
                { name: 'REGION', value: 'eu' },
                { name: 'OLD', $remove: true },
              ],
            },
            workers: { replicas: 2, resources: { limits: { memory: null } } },
          },
          limits: {
            workers: { replicas: 20, resources: { cpu: '2', memory: '4Gi' } },
            images: ['registry.example/', 'other.example:5000/team/app'],
          },
        },
        position: { file: 'f', line: 3, column: 23 },
      },
    ],
    problems: [],
  });
});

for (const metadata of ['', 'metadata: {}\n']) {
  test(`without a tenant (${metadata.trim() || 'no metadata'}) it is for all of them, and both parts may be left out`, () => {
    const { platforms } = parsePlatforms(`${HEAD}${metadata}spec: {}\n`, 'f');
    assert.deepEqual(
      platforms.map(({ tenant, content }) => [tenant, content]),
      [[null, { defaults: {}, limits: {} }]],
    );
  });
}

const MISTAKES: readonly [reason: string, text: string, said: string][] = [
  [
    'a job belongs to another command',
    'apiVersion: bulkhead.dev/v1alpha1\nkind: StreamJob\nspec: 3\n',
    '2:7 kind: found "StreamJob", expected Platform; it is for `bulkhead apply -f`',
  ],
  [
    'a misspelt kind',
    'apiVersion: bulkhead.dev/v1alpha1\nkind: Platfrom\nspec: {}\n',
    '2:7 kind: found "Platfrom", expected Platform',
  ],
  ['nothing', '', '1:1 : found no document, expected at least one Platform'],
  ['no map', '[]', '1:1 : found an empty list, expected a Platform: a map of apiVersion, kind, metadata and spec'],
  ['no spec', HEAD, '1:1 spec: found nothing, expected a map'],
  [
    'a misspelt field of a default',
    FULL.replace('replicas: 2,', 'replcas: 2,'),
    '7:15 spec.defaults.workers.replcas: unknown field; did you mean `replicas`?',
  ],
  [
    'a default out of range',
    FULL.replace('replicas: 2,', 'replicas: -1,'),
    '7:25 spec.defaults.workers.replicas: found -1, expected a whole number from 0 to 1000',
  ],
  [
    'a secret is not repeated',
    FULL.replace('value: eu', 'value: 4711'),
    '6:45 spec.defaults.container.env[0].value: found a number, expected text: put it in quotes',
  ],
  [
    'a limit that is no quantity',
    FULL.replace('4Gi', 'much'),
    '9:57 spec.limits.workers.resources.memory: found "much", expected a quantity such as 500m, 2, 256Mi or 1.5Gi',
  ],
  [
    'no place for images',
    FULL.replace(/images: .*/, 'images: []'),
    '10:13 spec.limits.images: found an empty list, expected at least one; leave the field out to allow every image',
  ],
  [
    'a pattern for images',
    FULL.replace('registry.example/,', '"*",'),
    '10:14 spec.limits.images[0]: found "*", expected the beginning of image names, such as registry.example/team/',
  ],
  [
    'a limit of what has none',
    FULL.replace('images:', 'env:'),
    '10:5 spec.limits.env: unknown field here; did you mean `spec.defaults.container.env`?',
  ],
];

for (const [reason, text, expected] of MISTAKES) {
  test(`a document of the platform: ${reason}`, () => assert.deepEqual(said(text), [expected]));
}

test('a job and the platform in one file: each command names the one that takes the other', () => {
  const job =
    'apiVersion: bulkhead.dev/v1alpha1\nkind: StreamJob\nmetadata: {name: a, namespace: b}\nspec: {container: {image: a}}\n';
  const both = `${job}---\n${FULL}`;
  assert.deepEqual(
    parseDocuments(both, 'f').problems.map((p) => p.message),
    ['found "Platform", expected StreamJob; it is for `bulkhead platform apply -f`'],
  );
  assert.deepEqual(said(both), ['2:7 kind: found "StreamJob", expected Platform; it is for `bulkhead apply -f`']);
});

test('one scope twice is named with its first place', () => {
  const { platforms } = parsePlatforms(`${FULL}---\n${HEAD}spec: {}\n---\n${FULL}`, 'f');
  assert.deepEqual(duplicatePlatforms(platforms), [
    {
      position: { file: 'f', line: 18, column: 23 },
      path: 'metadata.namespace',
      message: 'found a second Platform for tenant ads, also at f:3:23; expected one',
    },
  ]);
});

test('what is written is read back the same', () => {
  fc.assert(
    fc.property(goalArbitrary, ({ platform }) => {
      for (const scope of [platform.all, platform.tenant]) {
        if (scope === null) continue;
        const { platforms, problems } = parsePlatforms(platformYaml(scope.tenant, scope.content), 'f');
        assert.deepEqual(problems, []);
        const [read] = platforms;
        assert.deepEqual([read?.tenant, read?.content], [scope.tenant, scope.content]);
      }
    }),
    { numRuns: 60 },
  );
});
