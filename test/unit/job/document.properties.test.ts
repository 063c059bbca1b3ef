import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { duplicateJobs, type ParsedFile, parseDocuments, toYaml } from '../../../src/job/document.ts';
import { formatProblems } from '../../../src/job/problem.ts';
import { jobSpecSchema, streamJobSchema } from '../../../src/job/spec.ts';
import { specArbitrary } from '../../support/arbitrary.ts';

const VALID = `apiVersion: bulkhead.dev/v1alpha1
kind: StreamJob
metadata: {name: clicks, namespace: ads}
spec:
  container: &c
    image: registry.example/app:1
    env:
      - {name: A, value: "5"}
    ports: [{name: metrics, port: 8080}]
    probes:
      readiness: {httpGet: {path: /ready, port: metrics}}
  workers:
    replicas: 2
    resources: {requests: {cpu: 50m}, limits: {cpu: "1", memory: 1Gi}}
  network: {egress: [{cidr: 10.0.0.0/8}]}
`;
const OTHER = VALID.replace('clicks', 'other');

/** Pieces that mean something to a reader of YAML. No % and no whole line ---: those reach beyond a document. */
const piece = fc.constantFrom(
  ...[
    'a',
    '1',
    ': ',
    ':',
    '- ',
    '-',
    ' ',
    '  ',
    '\n',
    '\n  ',
    '\t',
    '{',
    '}',
    '[',
    ']',
    ',',
    '"',
    "'",
    '\\',
    '#',
    ' #',
  ],
  ...[
    '&c ',
    '*c',
    '<<: ',
    '!',
    '!!str ',
    '!!int ',
    '? ',
    '|',
    '>',
    '|-\n',
    '~',
    '@',
    '`',
    '\r',
    '\r\n',
    '\0',
    '\u{1f600}',
  ],
  ...[
    '\ufeff',
    '\ud800',
    'spec:',
    'container:',
    '__proto__: ',
    'constructor: ',
    'null',
    '.nan',
    '1e999',
    '{{ x }}',
    '\u2028',
  ],
);
const soup = fc.array(piece, { maxLength: 60 }).map((parts) => parts.join(''));

/** VALID with some slices cut out or replaced. */
const mutated = fc
  .array(fc.record({ at: fc.nat(VALID.length), cut: fc.nat(12), put: fc.oneof(fc.constant(''), piece, soup) }), {
    minLength: 1,
    maxLength: 4,
  })
  .map((edits) => edits.reduce((text, { at, cut, put }) => text.slice(0, at) + put + text.slice(at + cut), VALID));

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ maxLength: 200 }),
  soup,
  mutated,
  fc.json(),
  fc.tuple(soup, soup).map(([a, b]) => `${a}\n---\n${b}`),
  soup.map((s) => `%YAML ${s}\n---\n${VALID}`),
);

/** What must hold for whatever text. */
function check(text: string): ParsedFile {
  const file = parseDocuments(text, 'f');
  const lines = text.split('\n').length;
  assert.ok(file.jobs.length > 0 || file.problems.length > 0, 'a file is never silently nothing');
  for (const { position, message } of file.problems) {
    assert.ok(position.line >= 1 && position.line <= lines, `line ${position.line} of ${lines}`);
    assert.ok(position.column >= 1);
    assert.match(message, /expected|did you mean|which no field/);
  }
  for (const { job } of file.jobs) assert.ok(streamJobSchema.safeParse(job).success);
  assert.doesNotMatch(formatProblems([...file.problems, ...duplicateJobs(file.jobs)]), /(?!\n)\p{Cc}|\n\n|undefined/u);
  return file;
}

test('whatever the text, it becomes jobs that are right or problems with a place; nothing is thrown', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      check(text);
    }),
    { numRuns: 3000 },
  );
});

test('whatever is wrong with one document, the next is read as if it were alone', () => {
  fc.assert(
    fc.property(mutated, (text) => {
      const alone = check(`${text}\n`);
      const both = check(`${text}\n---\n${OTHER}`);
      assert.equal(both.jobs.at(-1)?.job.metadata.name, 'other');
      const isEmpty = alone.problems.some((p) => p.message.startsWith('found no document'));
      assert.equal(both.problems.length, isEmpty ? 0 : alone.problems.length);
      assert.equal(both.jobs.length, alone.jobs.length + 1);
    }),
    { numRuns: 500 },
  );
});

const hardText = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 80 }),
    soup,
    fc.array(fc.constantFrom(' ', '\n', 'a', '\t', '#'), { maxLength: 8 }).map((c) => c.join('')),
    fc.constantFrom('yes', '1e3', '0x1f', '=', '<<', '2026-01-01'),
  )
  .map((s) => s.replaceAll('\0', ''))
  .filter((s) => s.isWellFormed());

test('what is written is read back the same, whatever texts are in it', () => {
  fc.assert(
    fc.property(specArbitrary, fc.array(hardText, { maxLength: 4 }), (spec, args) => {
      const full = { ...spec, container: { ...spec.container, args } };
      fc.pre(jobSpecSchema.safeParse(full).success);
      const text = toYaml({ tenant: 'ads', name: 'clicks', spec: full });
      const { jobs, problems } = parseDocuments(text, 'f');
      assert.deepEqual(problems, []);
      assert.deepEqual(jobs[0]?.job.spec, full);
      assert.equal(toYaml({ tenant: 'ads', name: 'clicks', spec: jobs[0].job.spec }), text);
      assert.doesNotMatch(text, /(?!\n)\p{Cc}/u);
    }),
    { numRuns: 1000 },
  );
});
