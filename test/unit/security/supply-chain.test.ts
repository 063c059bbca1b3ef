import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  goFindings,
  imageFindings,
  installFindings,
  lockFindings,
  sbomFindings,
  withoutDevelopment,
} from '../../../security/supply-chain.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const LOCK = {
  packages: {
    '': { dependencies: { pg: '^8.0.0' } },
    'node_modules/pg': { version: '8.1.0', integrity: 'sha512-x' },
    'node_modules/pg/node_modules/pg-types': { version: '2.0.0', integrity: 'sha512-x' },
    'node_modules/biome': { version: '1.0.0', integrity: 'sha512-x', dev: true },
  },
};
const PACKAGE = { dependencies: { pg: '^8.0.0' } };
const COMPONENTS = ['pg@8.1.0', 'pg-types@2.0.0', 'biome@1.0.0'].map((id) => {
  const [name = '', version = ''] = id.split('@');
  return { name, version, 'bom-ref': id, hashes: [{ content: 'x' }] };
});
const DEPENDENCIES = [
  { ref: 'bulkhead', dependsOn: ['pg@8.1.0', 'biome@1.0.0'] },
  { ref: 'biome@1.0.0', dependsOn: [] },
];
const SBOM = { bomFormat: 'CycloneDX', components: COMPONENTS, dependencies: DEPENDENCIES };

describe('the lock file', () => {
  const withPackage = (parts: object) => ({
    packages: { ...LOCK.packages, 'node_modules/x': { version: '1.0.0', ...parts } },
  });
  test('is complete', () => assert.deepEqual(lockFindings(PACKAGE, LOCK), []));
  test('a package without a sum is found', () => {
    assert.match(lockFindings(PACKAGE, withPackage({})).join(), /no integrity/);
  });
  test('a package from Git or from a folder is found', () => {
    for (const parts of [{ resolved: 'git+ssh://x/y.git#1' }, { resolved: 'file:../x' }, { link: true }]) {
      assert.match(lockFindings(PACKAGE, withPackage({ ...parts, integrity: 'x' })).join(), /outside a registry/);
    }
  });
  test('a wish that it does not know is found', () => {
    assert.match(lockFindings({ dependencies: { pg: '^9.0.0' } }, LOCK).join(), /does not have pg \^9/);
    assert.match(lockFindings({ ...PACKAGE, devDependencies: { x: '1' } }, LOCK).join(), /does not have x 1/);
  });
});

describe('installing', () => {
  test('by the lock file is right', () => assert.deepEqual(installFindings('f', 'npm ci\nnpm test # npm install'), []));
  for (const line of ['npm install', 'RUN npm i x', 'npx something', 'yarn', 'npm update']) {
    test(`${line} is found`, () => assert.match(installFindings('f', `a\n${line}`).join(), /^f:2/));
  }
});

describe('base images', () => {
  const cases: readonly [dockerfile: string, findings: number][] = [
    [`FROM node@${DIGEST}`, 0],
    [`ARG BASE=node:24@${DIGEST}\nFROM \${BASE} AS a\nFROM a`, 0],
    ['FROM scratch', 0],
    ['FROM node:24', 1],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a Dockerfile's own
    ['ARG BASE=node:24\nFROM ${BASE} AS a\nFROM a', 1],
    ['ARG BASE\nFROM $BASE', 1],
    [`FROM node@${DIGEST.slice(0, -1)}`, 1],
  ];
  for (const [dockerfile, findings] of cases) {
    test(JSON.stringify(dockerfile), () => assert.equal(imageFindings(dockerfile).length, findings));
  }
});

test('a Go module with dependencies and no sums is found', () => {
  assert.equal(goFindings([{ path: 'go.mod', mod: 'module x\n\nrequire y v1\n', sum: '' }]).length, 1);
  assert.equal(goFindings([{ path: 'go.mod', mod: 'module x\n', sum: '' }]).length, 0);
});

describe('the bill of materials', () => {
  test('lists what production needs and nothing that only developers do', () => {
    const { components, dependencies } = withoutDevelopment(SBOM, LOCK);
    assert.deepEqual(
      components.map(({ name }) => name),
      ['pg', 'pg-types'],
    );
    assert.deepEqual(dependencies, [{ ref: 'bulkhead', dependsOn: ['pg@8.1.0'] }]);
    assert.deepEqual(sbomFindings(SBOM, LOCK), []);
  });
  test('a package that it lacks, or has no sum of, is found', () => {
    const [pg, ...others] = COMPONENTS;
    assert.deepEqual(sbomFindings({ ...SBOM, components: others }, LOCK), ['the SBOM lacks pg@8.1.0']);
    const bare = { ...SBOM, components: [{ ...pg, hashes: [] }, ...others] };
    assert.deepEqual(sbomFindings(bare, LOCK), ['the SBOM has no sum of pg@8.1.0']);
  });
});
