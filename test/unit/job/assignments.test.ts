import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isList, isMap, type Json } from '../../../src/job/canonical.ts';
import { merge } from '../../../src/job/merge.ts';
import { assignments, type SpecPatch } from '../../../src/job/patch.ts';
import { specArbitrary } from '../../support/arbitrary.ts';

const env = (...entries: object[]) => ({ container: { env: entries } });
const args = (...texts: string[]) => ({ container: { args: texts } });

const READ: readonly [reason: string, texts: readonly string[], patch: object][] = [
  ['a number', ['workers.replicas=3'], { workers: { replicas: 3 } }],
  ['blanks around the sign', ['workers.replicas = 3'], { workers: { replicas: 3 } }],
  ['spec. may stand before it', ['spec.workers.replicas=3'], { workers: { replicas: 3 } }],
  ['true or false', ['suspended=true'], { suspended: true }],
  ['null takes a field away', ['workers.replicas=null'], { workers: { replicas: null } }],
  ['null takes a map away', ['workers.resources=null'], { workers: { resources: null } }],
  ['text needs no quotes', ['container.env[A].value=1'], env({ name: 'A', value: '1' })],
  [
    'text is taken letter by letter',
    ['container.env[A].value= {{ a: b }} # = "c" '],
    env({ name: 'A', value: ' {{ a: b }} # = "c" ' }),
  ],
  ['text may be empty', ['container.env[A].value='], env({ name: 'A', value: '' })],
  ['text may be the word null', ['container.env[A].value="null"'], env({ name: 'A', value: 'null' })],
  ['text in quotes is what is in them', ["container.env[A].value='it''s'"], env({ name: 'A', value: "it's" })],
  [
    'quotes that end too early are letters',
    ['container.env[A].value="a" and "b"'],
    env({ name: 'A', value: '"a" and "b"' }),
  ],
  ['text that null takes away', ['container.env[A].value=null'], env({ name: 'A', value: null })],
  ['null takes an entry away', ['container.env[A]=null'], env({ name: 'A', $remove: true })],
  [
    'an entry as a map',
    ['container.env[A]={secretKeyRef: {name: s, key: k}}'],
    env({ name: 'A', secretKeyRef: { name: 's', key: 'k' } }),
  ],
  ['a name with dots', ['container.env[a.b-c].value=x'], env({ name: 'a.b-c', value: 'x' })],
  ['ports by name', ['container.ports[http].port=8080'], { container: { ports: [{ name: 'http', port: 8080 }] } }],
  [
    'a quantity as text or as a number',
    ['workers.resources.limits={cpu: 2, memory: 1Gi}'],
    { workers: { resources: { limits: { cpu: 2, memory: '1Gi' } } } },
  ],
  ['a list as YAML', ['container.args=[--fast, "3"]'], args('--fast', '3')],
  ['a list as JSON', ['container.args=["a","b"]'], args('a', 'b')],
  [
    'an image with its signs',
    ['container.image=r.example:5000/a:1@sha256:'.concat('0'.repeat(64))],
    { container: { image: `r.example:5000/a:1@sha256:${'0'.repeat(64)}` } },
  ],
  [
    'a port by its name',
    ['container.probes.liveness.tcpSocket.port=http'],
    { container: { probes: { liveness: { tcpSocket: { port: 'http' } } } } },
  ],
  [
    'several at once',
    ['workers.replicas=3', 'suspended=false', 'workers.resources.limits.cpu=1'],
    { workers: { replicas: 3, resources: { limits: { cpu: 1 } } }, suspended: false },
  ],
  ['the later one wins', ['workers.replicas=3', 'workers.replicas=4'], { workers: { replicas: 4 } }],
  [
    'an entry that is taken away and made anew',
    ['container.env[A]=null', 'container.env[A].value=x'],
    env({ name: 'A', value: 'x', $replace: true }),
  ],
  ['nothing at all', [], {}],
];

for (const [reason, texts, patch] of READ) {
  test(`--set: ${reason}`, () => assert.deepEqual(assignments(texts), { patch, problems: [] }));
}

const REFUSED: readonly [reason: string, text: string, problem: string][] = [
  [
    'no sign',
    'workers.replicas',
    '--set workers.replicas: found no =, expected FIELD=VALUE; FIELD=null takes a field away',
  ],
  [
    'no field',
    '=3',
    '--set : expected FIELD=VALUE, such as workers.replicas=3 or container.env[LOG_LEVEL].value=debug',
  ],
  [
    'a path with two dots',
    'workers..replicas=3',
    '--set workers..replicas: expected FIELD=VALUE, such as workers.replicas=3 or container.env[LOG_LEVEL].value=debug',
  ],
  ['a misspelt field', 'workers.replcas=3', '--set workers.replcas: unknown field; did you mean `replicas`?'],
  ['a field of another place', 'image=a', '--set image: unknown field here; did you mean `spec.container.image`?'],
  [
    'a field that every map inherits',
    'constructor=1',
    '--set constructor: unknown field; expected one of container, workers, network, isolation, suspended',
  ],
  [
    'a wrong value',
    'workers.replicas=two',
    '--set workers.replicas: found "two", expected a whole number from 0 to 1000',
  ],
  [
    'no value where text is not wanted',
    'workers.replicas=',
    '--set workers.replicas: found nothing, expected a value; null takes the field away',
  ],
  ['a value for a map', 'workers=3', '--set workers: found 3, expected a map'],
  [
    'a mistake inside a map',
    'workers.resources.limits={memroy: 1Gi}',
    '--set workers.resources.limits: spec.workers.resources.limits.memroy: unknown field; did you mean `memory`?',
  ],
  [
    'a number inside a list of texts',
    'container.args=[3]',
    '--set container.args: spec.container.args[0]: found a number, expected text: put it in quotes',
  ],
  [
    'a list by name without a name',
    'container.env.A=x',
    '--set container.env.A: expected a name in brackets: container.env[A]',
  ],
  [
    'an entry that is no map',
    'container.env[A]=x',
    '--set container.env[A]: expected a map of fields without a name, or null; container.env[A].FIELD=VALUE sets one field',
  ],
  [
    'another name for an entry',
    'container.env[A].name=B',
    '--set container.env[A].name: expected another field: the name is what finds the entry; take it away and set a new one',
  ],
  [
    'an entry of a list without names',
    'container.args[0]=x',
    '--set container.args[0]: expected the whole list: container.args=[…]',
  ],
  [
    'a field of a list without names',
    'network.egress.cidr=x',
    '--set network.egress.cidr: expected the whole list: network.egress=[…]',
  ],
  [
    'a field of a value',
    'container.image.tag=1',
    '--set container.image.tag: expected container.image=VALUE: it has no fields',
  ],
  ['brackets where no list is', 'workers[0]=1', '--set workers[0]: expected workers without brackets'],
  [
    'a bracket that is never closed',
    'network.egress=[',
    '--set network.egress: found [ that is never closed, expected ] at its end',
  ],
  [
    'two documents',
    'workers.replicas=3\n---\n4',
    '--set workers.replicas: found several documents, expected one value',
  ],
  [
    'two that exclude each other',
    'container.env[A]={value: a, secretKeyRef: {name: s, key: k}}',
    '--set container.env[A]: found name and value and secretKeyRef, expected only one of value, secretKeyRef',
  ],
];

for (const [reason, text, problem] of REFUSED) {
  test(`--set refuses ${reason}`, () => {
    assert.deepEqual(assignments([text, 'workers.replicas=1']), { patch: null, problems: [problem] });
  });
}

test('every wrong assignment is named, and no value that may be a secret is repeated', () => {
  const { problems } = assignments([
    `container.env[A].value=${'hunter2'.repeat(5000)}`,
    'container.args=hunter2',
    'a=b',
  ]);
  assert.equal(problems.length, 3);
  assert.doesNotMatch(problems.join(), /hunter2/);
});

const LISTS = ['container.env', 'container.ports'];

/** What somebody would type to make a spec from nothing, field by field. */
function* typed(value: Json, at = ''): Generator<string, void> {
  if (isList(value) && LISTS.includes(at)) {
    for (const entry of value) {
      const { name, ...fields } = entry as { readonly [field: string]: Json };
      yield* typed(fields, `${at}[${name}]`);
    }
  } else if (isMap(value) && Object.keys(value).length > 0) {
    for (const [field, inner] of Object.entries(value)) yield* typed(inner, at === '' ? field : `${at}.${field}`);
  } else if (typeof value === 'string' && (/\.(value|image|path)$/.test(at) || /secretKeyRef\.\w+$/.test(at))) {
    yield `${at}=${value === 'null' || /^(["']).*\1$/s.test(value) ? JSON.stringify(value) : value}`;
  } else yield `${at}=${JSON.stringify(value)}`;
}

test('300 random specs, typed field by field, are read back as they were', () => {
  fc.assert(
    fc.property(specArbitrary, (spec) => {
      const { patch, problems } = assignments([...typed(spec as unknown as Json)]);
      assert.deepEqual(problems, []);
      // Lists without entries leave nothing to type.
      const clean = JSON.parse(JSON.stringify(spec, (_key, v) => (v === undefined ? undefined : v))) as SpecPatch;
      const { env = [], ports = [] } = clean.container as { env?: Json[]; ports?: Json[] };
      const container = { ...(clean.container as object), env, ports };
      const read = merge({ container: { env: [], ports: [] } }, patch ?? {});
      assert.deepEqual(read, { ...clean, container });
    }),
    { numRuns: 300 },
  );
});
