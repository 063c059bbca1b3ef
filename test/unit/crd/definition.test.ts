import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { STREAM_JOB_DEFINITION } from '../../../src/crd/definition.ts';
import { GENERATE_COMMAND, MANIFEST_PATH, manifestText } from '../../../src/crd/manifest.ts';
import type { Structural } from '../../../src/crd/openapi.ts';
import { DEFAULTED_PLACES, RULED_PLACES, rulesAt } from '../../../src/crd/rules.ts';
import { structuralOf } from '../../../src/crd/structural.ts';
import { BUILT_IN_DEFAULTS } from '../../../src/job/defaults.ts';
import { required, type Schema } from '../../../src/job/schema-fields.ts';
import { jobSpecSchema, streamJobSchema } from '../../../src/job/spec.ts';

/** What holds of the CustomResourceDefinition whatever it says. That an API server takes it is shown by test/integration. */

const [version] = STREAM_JOB_DEFINITION.spec.versions;
const root = version.schema.openAPIV3Schema;

interface Place {
  readonly path: string;
  readonly node: Structural;
}

function places(node: Structural, path: string): Place[] {
  const fields = Object.entries(node.properties ?? {}).flatMap(([field, child]) => places(child, `${path}.${field}`));
  return [{ path, node }, ...fields, ...(node.items ? places(node.items, `${path}[]`) : [])];
}

/** Kubernetes allows metadata itself neither a description nor rules. */
const all = places(root, '').filter(({ path }) => path !== '.metadata');
const spec = root.properties?.spec;
assert.ok(spec);
/** By the paths that rules go by. */
const inSpec = new Map(places(spec, '').map(({ path, node }) => [path.replace(/^\./, ''), node]));

test('the generated file is what the definition of a job gives', () => {
  const found = readFileSync(join(import.meta.dirname, '../../..', MANIFEST_PATH), 'utf8');
  assert.equal(found, manifestText(), `${MANIFEST_PATH} is stale: run \`${GENERATE_COMMAND}\` and commit it`);
});

test('every field, every entry of a list and every column has a description that ends as a sentence', () => {
  for (const { path, node } of all) assert.match(node.description ?? '', /^[A-Z].*[.]$/su, path);
  for (const { name, description } of version.additionalPrinterColumns) assert.match(description, /\.$/, name);
});

test('every value has one type, so that the schema is structural', () => {
  for (const { path, node } of all) {
    const isEither = node['x-kubernetes-int-or-string'] === true;
    assert.equal(node.type === undefined, isEither, path);
    assert.equal(node.properties !== undefined, node.type === 'object', path);
    assert.equal(node.items !== undefined, node.type === 'array', path);
  }
});

test('no default is written into what people say, and unknown fields are pruned, not kept', () => {
  for (const { path, node } of all) {
    for (const keyword of ['default', 'additionalProperties', 'x-kubernetes-preserve-unknown-fields', 'nullable']) {
      assert.ok(!(keyword in node), `${path} has no ${keyword}`);
    }
  }
});

test('every list, text and number of the spec has a bound, which the cost of CEL rules is reckoned by', () => {
  for (const [path, node] of inSpec) {
    if (node.type === 'array') assert.ok(node.maxItems, path);
    if (node.type === 'string') assert.ok(node.maxLength || node.enum, path);
    if (node.type === 'integer') assert.ok(node.maximum !== undefined && node.minimum !== undefined, path);
  }
});

test('lists that merge by name are maps for server-side apply as well, all others are replaced as a whole', () => {
  const maps = [...inSpec].filter(([, node]) => node['x-kubernetes-list-type'] === 'map').map(([path]) => path);
  assert.deepEqual(maps, ['container.env', 'container.ports']);
  for (const { path, node } of all) if (node.type === 'array') assert.ok(node['x-kubernetes-list-type'], path);
});

test('patterns are words that Go knows as well: no look-ahead, no look-behind, no reference back', () => {
  for (const { path, node } of all) {
    if (node.pattern === undefined) continue;
    assert.doesNotMatch(node.pattern, /\(\?[=!<]|\\[1-9]|\\u/, path);
    assert.ok(node.pattern.startsWith('^') && node.pattern.endsWith('$'), `${path} speaks of the whole text`);
  }
});

test('every rule stands at a place that is there, and says what was expected', () => {
  for (const path of RULED_PLACES) {
    assert.ok(inSpec.has(path), `${path} is there`);
    assert.ok(rulesAt(path).length > 0, `${path} has rules`);
  }
  for (const { path, node } of all) {
    for (const { message } of node['x-kubernetes-validations'] ?? []) assert.match(message, /^expected /, path);
  }
});

/** Places of the definition whose own checks (`refine`) are more than those that every text has. */
function refined(schema: Schema, at: string): string[] {
  const inner = required(schema);
  const own = (inner._zod.def.checks ?? []).filter((check) => check._zod.def.check === 'custom').length;
  const here = own > (inner instanceof z.ZodString ? 2 : 0) ? [at] : [];
  if (inner instanceof z.ZodArray) return [...here, ...refined(inner.element, `${at}[]`)];
  if (!(inner instanceof z.ZodObject)) return here;
  const fields = Object.entries<Schema>(inner.shape);
  return [...here, ...fields.flatMap(([field, child]) => refined(child, at === '' ? field : `${at}.${field}`))];
}

test('whatever the definition refines has a rule in CEL, so that kubectl is told at once', () => {
  const without = refined(jobSpecSchema, '').filter((path) => !RULED_PLACES.includes(path));
  assert.deepEqual(without, []);
});

test('Bulkhead’s own defaults are said where they are, in their own words', () => {
  for (const path of DEFAULTED_PLACES) assert.match(inSpec.get(path)?.description ?? '', /Left out: /, path);
  const said = inSpec.get('workers.resources.limits.memory')?.description ?? '';
  assert.ok(said.endsWith(`else ${BUILT_IN_DEFAULTS.limits.memory}.`), said);
});

test('every field that may be left out says what happens then', () => {
  for (const [path, node] of inSpec) {
    for (const [field, child] of Object.entries(node.properties ?? {})) {
      if (node.required?.includes(field) || child.type === 'object') continue;
      const isExclusive = /Give either this or/.test(child.description ?? '');
      assert.ok(isExclusive || /Left out/.test(child.description ?? ''), `${path}.${field}`);
    }
  }
});

test('status has exactly the fields of the contract', () => {
  const { properties = {} } = root.properties?.status ?? {};
  const contract =
    'observedGeneration jobId storeId revision specRevision specHash phase workers replicas readyReplicas restarts selector tier cell conditions writtenBy';
  assert.deepEqual(Object.keys(properties), contract.split(' '));
});

test('a definition without a description, or with a word that has no structural form, is refused by the generator', () => {
  assert.throws(
    () => structuralOf(z.strictObject({ a: z.string() }).describe('A.'), ''),
    /spec\.a: .*needs a description/s,
  );
  const loose = z.record(z.string(), z.string()).describe('A.');
  assert.throws(() => structuralOf(loose, ''), /additionalProperties|propertyNames/);
});

test('the document that the CLI takes has the same fields as the object that kubectl takes', () => {
  const fields = Object.keys(streamJobSchema.shape);
  assert.deepEqual(Object.keys(root.properties ?? {}), [...fields, 'status']);
});
