import assert from 'node:assert/strict';
import { test } from 'node:test';
import { duplicateJobs, parseDocuments, toYaml } from '../../../src/job/document.ts';
import { formatProblems } from '../../../src/job/problem.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import { MAX_DOCUMENT_BYTES, MAX_DOCUMENTS, MAX_FILE_BYTES } from '../../../src/job/yaml-text.ts';

const IMAGE = 'registry.example/app:1';
const head = (name: string) =>
  `apiVersion: bulkhead.dev/v1alpha1\nkind: StreamJob\nmetadata: {name: ${name}, namespace: ads}\n`;
const job = (name: string) => `${head(name)}spec: {container: {image: "${IMAGE}"}}\n`;
const spec = (text: string) => `${head('clicks')}spec:\n  container: {image: "${IMAGE}"}\n${text}`;
const names = (text: string) => parseDocuments(text, 'f').jobs.map((j) => j.job.metadata.name);
const said = (text: string) =>
  parseDocuments(text, 'f').problems.map((p) => `${p.position.line}:${p.position.column} ${p.path}: ${p.message}`);

test('a job is read as it was written, with nothing filled in, and with the place of its name', () => {
  const { jobs, problems } = parseDocuments(job('clicks'), 'jobs.yaml');
  assert.deepEqual(problems, []);
  assert.deepEqual(jobs, [
    {
      job: {
        apiVersion: 'bulkhead.dev/v1alpha1',
        kind: 'StreamJob',
        metadata: { name: 'clicks', namespace: 'ads' },
        spec: { container: { image: IMAGE } },
      },
      position: { file: 'jobs.yaml', line: 3, column: 18 },
    },
  ]);
});

const FORMS: readonly [reason: string, text: string, names: readonly string[]][] = [
  ['a byte order mark is no part of the text', `\ufeff${job('a')}`, ['a']],
  ['files of Windows end their lines with CR LF', `${job('a')}---\n${job('b')}`.replaceAll('\n', '\r\n'), ['a', 'b']],
  [
    'files joined end to end can have a byte order mark before each ---',
    `\ufeff---\n${job('a')}\ufeff---\n${job('b')}`,
    ['a', 'b'],
  ],
  ['the last line need not end', job('a').trimEnd(), ['a']],
  ['empty documents are skipped', `---\n---\n# x\n---\n${job('a')}---\n\n---\n~\n`, ['a']],
  ['... ends a document too', `${job('a')}...\n${job('b')}...\n`, ['a', 'b']],
  ['%YAML 1.2 is what is read anyway', `%YAML 1.2\n---\n${job('a')}`, ['a']],
  ['--- inside a word or a text is no end', job('a').replace('{image', '{args: ["---", a---], image'), ['a']],
  ['--- with a comment after it is one', `--- # first\n${job('a')}--- # second\n${job('b')}`, ['a', 'b']],
  [
    'JSON is YAML',
    JSON.stringify(
      {
        apiVersion: 'bulkhead.dev/v1alpha1',
        kind: 'StreamJob',
        metadata: { name: 'a', namespace: 'ads' },
        spec: { container: { image: IMAGE } },
      },
      null,
      '\t',
    ),
    ['a'],
  ],
];

for (const [reason, text, expected] of FORMS) {
  test(`forms of a file: ${reason}`, () => {
    assert.deepEqual(said(text), []);
    assert.deepEqual(names(text), expected);
  });
}

test('lines and columns count in the file, not in the document, also after CR LF and a byte order mark', () => {
  const text = `\ufeff# top\n---\n${job('a')}---\n# between\n${spec('  workers: {replicas: two}\n')}`;
  const expected = ['14:23 spec.workers.replicas: found "two", expected a whole number from 0 to 1000'];
  assert.deepEqual(said(text), expected);
  assert.deepEqual(said(text.replaceAll('\n', '\r\n')), expected);
});

test('anchors and merge keys fill in what they stand for; what a map says itself wins, then what comes first', () => {
  const text = spec(
    '  network:\n    egress:\n' +
      '      - &a {cidr: 10.0.0.0/8, ports: [{port: 1}]}\n' +
      '      - {<<: *a, cidr: 192.168.0.0/16}\n' +
      '      - {<<: [{ports: [{port: 2}]}, *a], cidr: 172.16.0.0/12}\n' +
      '      - *a\n',
  );
  assert.deepEqual(said(text), []);
  assert.deepEqual(parseDocuments(text, 'f').jobs[0]?.job.spec.network?.egress, [
    { cidr: '10.0.0.0/8', ports: [{ port: 1 }] },
    { cidr: '192.168.0.0/16', ports: [{ port: 1 }] },
    { cidr: '172.16.0.0/12', ports: [{ port: 2 }] },
    { cidr: '10.0.0.0/8', ports: [{ port: 1 }] },
  ]);
});

test('a mistake in what an alias stands for is shown where it is written', () => {
  const text = spec('  network:\n    egress:\n      - &a {cidr: 10.0.0.0/8, prots: []}\n      - {<<: *a}\n');
  assert.deepEqual(said(text), [
    '8:31 spec.network.egress[0].prots: unknown field; did you mean `ports`?',
    '8:31 spec.network.egress[1].prots: unknown field; did you mean `ports`?',
  ]);
});

test('an anchor stands for the last value before its alias, as YAML has it', () => {
  const text = `${head('a')}spec: {container: {image: "${IMAGE}", args: [&x a, *x, &x b, *x]}}\n`;
  assert.deepEqual(parseDocuments(text, 'f').jobs[0]?.job.spec.container.args, ['a', 'a', 'b', 'b']);
});

const LIMITS: readonly [reason: string, text: () => string, said: RegExp][] = [
  ['a file', () => '#'.repeat(MAX_FILE_BYTES + 1), /^1:1 : found a file of more than 8 MiB/],
  ['a file, counted in bytes', () => `#${'é'.repeat(MAX_FILE_BYTES / 2)}`, /^1:1 : found a file of more than 8 MiB/],
  [
    'a document',
    () => `${job('a')}---\na: ${'x'.repeat(MAX_DOCUMENT_BYTES)}`,
    /^5:1 : found a document of more than 1 MiB/,
  ],
  ['documents', () => '---\n'.repeat(MAX_DOCUMENTS + 1), /^10001:1 : found more than 10000 documents/],
  ['depth of lists', () => `a: ${'['.repeat(33)}`, /^1:\d+ : found lists and maps more than 32 deep/],
  [
    'depth through aliases',
    () => `${Array.from({ length: 40 }, (_, i) => `a${i}: &a${i} [${i > 0 ? `*a${i - 1}` : ''}]`).join('\n')}\n`,
    /^1:9 a31.*found lists and maps more than 32 deep/,
  ],
  ['aliases', () => `a: &a 1\nb: [${'*a,'.repeat(101)}]\n`, /^2:\d+ : found more than 100 aliases/],
  ['words', () => `a: [${'1,'.repeat(20_000)}]\n`, /^1:\d+ : found more than 30,000 words and signs/],
];

for (const [reason, text, expected] of LIMITS) {
  test(`there is a limit to the size of ${reason}, and a job beside it is still read`, () => {
    assert.ok(
      said(text()).some((sentence) => expected.test(sentence)),
      said(text()).slice(0, 3).join('\n'),
    );
  });
}

test('just below the limits everything is read', () => {
  const aliases = `${head('a')}spec: {container: {image: "${IMAGE}", args: [&a x, ${'*a, '.repeat(100)}]}}\n`;
  assert.deepEqual(names(aliases), ['a']);
  const long = `# ${'x'.repeat(MAX_DOCUMENT_BYTES - 1000)}\n${job('b')}`;
  assert.deepEqual(names(long), ['b']);
});

test('reading ends after a great many problems, and says so', () => {
  const { problems } = parseDocuments('---\na: 1\n'.repeat(5000), 'f');
  assert.ok(problems.length < 11_000);
  assert.match(problems.at(-1)?.message ?? '', /^found more than 10000 problems before this line/);
});

test('a sentence that repeats what people wrote stays a sentence', () => {
  const ports = `[{name: "x\\n${'x'.repeat(5000)}", port: 1}]`;
  const text = `${head('a')}spec: {container: {image: a, ports: ${ports}, probes: {liveness: {tcpSocket: {port: b}}}}}\n`;
  const sentences = parseDocuments(text, 'f').problems.map((p) => p.message);
  assert.equal(sentences.length, 2);
  for (const sentence of sentences) assert.ok(sentence.length < 700 && !sentence.includes('\n'), sentence);
});

test('a job that is there twice is named with both places, also across files', () => {
  const jobs = ['a.yaml', 'b.yaml'].flatMap(
    (file) => parseDocuments(`${job('x')}---\n${job(file.slice(0, 1))}`, file).jobs,
  );
  assert.deepEqual(duplicateJobs(jobs), [
    {
      position: { file: 'b.yaml', line: 3, column: 18 },
      path: 'metadata.name',
      message: 'found the job ads/x, which is also at a.yaml:3:18; expected each job once',
    },
  ]);
});

test('problems are shown by file and place, cut after a hundred, and all counted', () => {
  const lines = formatProblems([
    ...parseDocuments('b: 1\na: 1\n', 'second').problems,
    ...parseDocuments('kind: 1\n'.repeat(200), 'first').problems,
  ]).split('\n');
  assert.equal(lines.length, 101);
  assert.match(lines[0] ?? '', /^second:1:1: apiVersion: /);
  assert.match(lines[5] ?? '', /^second:2:1: a: /);
  assert.match(lines[6] ?? '', /^first:1:1: /);
  assert.match(lines[100] ?? '', /^\d{3} problems in 2 files; the first 100 are shown$/);
});

test('a written job has the fields in the order of their definition, and quotes what YAML 1.1 would take for more', () => {
  const spec: JobSpec = {
    suspended: false,
    workers: { resources: { limits: { memory: '1Gi', cpu: 2 } }, replicas: 2 },
    container: {
      args: ['yes', '0o17', '017', '2026-01-01', '1_000', '12:30', '', ' x', 'a: b', '#', '<<', '~', '*a', 'a\nb\n'],
      env: [{ value: 'é \u{1f600} \u2028 \u0007', name: 'A' }],
      image: IMAGE,
    },
  };
  const text = toYaml({ tenant: 'ads', name: 'clicks', spec });
  assert.equal(
    text,
    `apiVersion: bulkhead.dev/v1alpha1
kind: StreamJob
metadata:
  name: clicks
  namespace: ads
spec:
  container:
    image: registry.example/app:1
    args:
      - "yes"
      - "0o17"
      - "017"
      - "2026-01-01"
      - "1_000"
      - "12:30"
      - ""
      - " x"
      - "a: b"
      - "#"
      - "<<"
      - "~"
      - "*a"
      - |
        a
        b
    env:
      - name: A
        value: "é 😀 \\u2028 \\u0007"
  workers:
    replicas: 2
    resources:
      limits:
        cpu: 2
        memory: 1Gi
  suspended: false
`,
  );
  assert.deepEqual(parseDocuments(text, 'f').jobs[0]?.job.spec, spec);
});
