import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type {
  ArchivedContent,
  ArchivedJob,
  ArchivedKey,
  ArchivedRevision,
  StoreArchive,
} from '../../../src/job/archive.ts';
import { ArchiveError, archiveYaml, readArchive } from '../../../src/job/archive-document.ts';
import { SOURCES } from '../../../src/job/goal.ts';
import { jobId, revision, storeId } from '../../../src/job/ids.ts';
import { specArbitrary } from '../../support/arbitrary.ts';
import { patchArbitrary } from './layer-arbitrary.ts';

/** An archive with its jobs and keys in lists, to compare. */
type WholeArchive = Omit<StoreArchive, 'jobs' | 'keys'> & {
  readonly jobs: readonly ArchivedJob[];
  readonly keys: readonly ArchivedKey[];
};

const STORE = storeId('00000000-0000-4000-8000-00000000000a');
const uuid = (n: number) => jobId(`11111111-1111-4111-8111-${String(n).padStart(12, '0')}`);

async function* each<T>(items: readonly T[]): AsyncGenerator<T, void> {
  yield* items;
}

async function write(archive: WholeArchive): Promise<string> {
  const pieces: string[] = [];
  for await (const piece of archiveYaml({ ...archive, jobs: each(archive.jobs), keys: each(archive.keys) }))
    pieces.push(piece);
  return pieces.join('');
}

/** @param size letters of a chunk: where a text is cut must not matter */
async function read(text: string, size = 1000): Promise<WholeArchive> {
  const chunks = Array.from({ length: Math.ceil(text.length / size) }, (_, i) => text.slice(i * size, (i + 1) * size));
  const archive = await readArchive(each(chunks), 'f');
  const jobs: ArchivedJob[] = [];
  for await (const job of archive.jobs) jobs.push(job);
  const keys: ArchivedKey[] = [];
  for await (const key of archive.keys) keys.push(key);
  return { ...archive, jobs, keys };
}

async function refusal(text: string): Promise<string> {
  const error = await read(text).then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ArchiveError, `expected a refusal, got ${error}`);
  return error.problems.map((p) => `${p.position.line} ${p.path}: ${p.message}`).join('; ');
}

const revisionOf = (n: number, content: ArchivedContent): ArchivedRevision => ({
  revision: revision(n),
  createdAt: `2026-01-31T23:59:59.12345${n % 10}Z`,
  author: 'ann',
  source: 'cli',
  reason: null,
  idempotencyKey: null,
  contentHash: 'a'.repeat(64),
  content,
});
const SPEC: ArchivedContent = { kind: 'spec', spec: { container: { image: 'a' } } };
const jobOf = (n: number, revisions: readonly ArchivedRevision[]): ArchivedJob => ({
  job: { id: uuid(n), tenant: 'ads', name: `job${n}` },
  createdAt: '2026-01-01T00:00:00.000001Z',
  removedAt: null,
  revisions,
});
const keyOf = (n: number, tenant: string | null): ArchivedKey => ({
  tenant,
  key: `key ${n}`,
  bodyHash: 'b'.repeat(64),
  receipts: '[{"id": null, "outcome": "absent", "revision": null}]',
  createdAt: '2026-01-31T23:59:59.000001Z',
});
const SMALL: WholeArchive = {
  storeId: STORE,
  undeleteRetention: 'P7D',
  platforms: [],
  jobs: [
    jobOf(1, [
      revisionOf(1, SPEC),
      revisionOf(2, { kind: 'patch', layer: 'oncall', patch: { workers: null }, until: '2026-02-01T00:00:00.000001Z' }),
      revisionOf(3, { kind: 'patch', layer: 'scaler', patch: { workers: { replicas: 3 } } }),
      revisionOf(4, { kind: 'cleared', layer: 'oncall' }),
      revisionOf(5, { kind: 'tombstone' }),
    ]),
    jobOf(2, [revisionOf(1, SPEC)]),
  ],
  keys: [keyOf(1, null), keyOf(2, 'ads')],
};

const hardText = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom('yes', '---', '\n---\n', '2026-01-31', '# a', ' ', ''),
  )
  .map((text) => text.replaceAll('\0', ''))
  .filter((text) => text.isWellFormed());
const time = fc
  .tuple(fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true }), fc.nat(999))
  .map(([date, micros]) => date.toISOString().replace('Z', `${String(micros).padStart(3, '0')}Z`));
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const content: fc.Arbitrary<ArchivedContent> = fc.oneof(
  specArbitrary.map((spec): ArchivedContent => ({ kind: 'spec', spec })),
  fc.constant<ArchivedContent>({ kind: 'tombstone' }),
  patchArbitrary.map((patch): ArchivedContent => ({ kind: 'patch', layer: 'scaler', patch })),
  fc
    .tuple(patchArbitrary, orNull(time))
    .map(([patch, until]): ArchivedContent => ({ kind: 'patch', layer: 'oncall', patch, until })),
  fc.constantFrom<ArchivedContent>({ kind: 'cleared', layer: 'scaler' }, { kind: 'cleared', layer: 'oncall' }),
);
const authored = {
  createdAt: time,
  author: hardText,
  source: fc.constantFrom(...SOURCES),
  reason: orNull(hardText),
  idempotencyKey: orNull(hardText),
  contentHash: fc.constant('0123456789abcdef'.repeat(4)),
};
/** Whether it took over: of layer job only. */
const revisionArbitrary = fc.record({ ...authored, content, takeOver: fc.boolean() }).map(({ takeOver, ...it }) => ({
  ...it,
  ...(takeOver && ['spec', 'tombstone'].includes(it.content.kind) && { takeOver: true as const }),
}));
/** Numbers from 1, with gaps where the owner archived a scaler's revisions. */
const numbered = <T extends object>(entries: readonly T[], gap: number) =>
  entries.map((entry, index) => ({ ...entry, revision: revision(1 + index * gap) }));
const archiveArbitrary: fc.Arbitrary<WholeArchive> = fc
  .record({
    platforms: fc.dictionary(
      fc.constantFrom('ads', 'shop', '*'),
      fc.array(fc.record({ ...authored, content: patchArbitrary.map((defaults) => ({ defaults, limits: {} })) }), {
        minLength: 1,
        maxLength: 2,
      }),
    ),
    jobs: fc.array(
      fc.record({
        createdAt: time,
        removedAt: orNull(time),
        revisions: fc.array(revisionArbitrary, { minLength: 1, maxLength: 4 }),
        gap: fc.constantFrom(1, 7),
      }),
      { maxLength: 3 },
    ),
    undeleteRetention: fc.constantFrom('P7D', 'PT0S', 'P1Y2M3DT4H5M6.000007S'),
    keys: fc.array(
      fc.record({
        tenant: fc.constantFrom('ads', 'shop', null),
        key: hardText,
        bodyHash: fc.constant('0123456789abcdef'.repeat(4)),
        receipts: fc.oneof(fc.array(fc.jsonValue()), fc.dictionary(hardText, hardText)).map((it) => JSON.stringify(it)),
        createdAt: time,
      }),
      { maxLength: 3 },
    ),
  })
  .map(({ platforms, jobs, undeleteRetention, keys }) => ({
    storeId: STORE,
    undeleteRetention,
    keys: keys.map((key) => ({ ...key })),
    platforms: Object.entries(platforms).flatMap(([scope, entries]) =>
      numbered(entries, 1).map((entry) => ({ ...entry, tenant: scope === '*' ? null : scope })),
    ),
    jobs: jobs.map(({ revisions, gap, ...times }, n) => ({
      ...jobOf(n, []),
      ...times,
      revisions: numbered(revisions, gap),
    })),
  }));

const RUNS = 80;
test(`${RUNS} random stores are written and read back as they were, to the microsecond, wherever the text is cut; and again the text is the same`, async () => {
  const property = fc.asyncProperty(archiveArbitrary, fc.integer({ min: 1, max: 2000 }), async (archive, size) => {
    const text = await write(archive);
    const back = await read(text, size);
    assert.deepEqual(back, archive);
    assert.equal(await write(back), text);
  });
  await fc.assert(property, { numRuns: RUNS });
});

test('fields are in a fixed order, and what is null is left out', async () => {
  assert.equal(
    (await write(SMALL)).split('---\n')[2],
    `apiVersion: bulkhead.dev/v1alpha1
kind: JobHistory
metadata:
  name: job1
  namespace: ads
  uid: ${uuid(1)}
createdAt: "2026-01-01T00:00:00.000001Z"
revisions:
${[
  ['job', 1, '    spec:\n      container:\n        image: a\n'],
  ['oncall', 2, '    patch:\n      workers: null\n    until: "2026-02-01T00:00:00.000001Z"\n'],
  ['scaler', 3, '    patch:\n      workers:\n        replicas: 3\n'],
  ['oncall', 4, '    cleared: true\n'],
  ['job', 5, '    removed: true\n'],
]
  .map(
    ([layer, n, rest]) => `  - revision: ${n}
    layer: ${layer}
    createdAt: "2026-01-31T23:59:59.12345${n}Z"
    author: ann
    source: cli
    contentHash: ${'a'.repeat(64)}
${rest}`,
  )
  .join('')}`,
  );
});

test('a revision that took over says so; what does not say so did not', async () => {
  const [first, ...rest] = [revisionOf(1, SPEC), revisionOf(2, { kind: 'tombstone' })];
  const archive = { ...SMALL, jobs: [jobOf(1, [first, ...rest.map((it) => ({ ...it, takeOver: true as const }))])] };
  const written = await write(archive);
  assert.match(written, /removed: true\n {4}takeOver: true\n/);
  assert.deepEqual(await read(written), archive);
  const older = await read(written.replace('    takeOver: true\n', ''));
  assert.deepEqual(older.jobs, [jobOf(1, [first, ...rest])]);
});

test('a long history is written in several documents, each small, and is one again when it is read', async () => {
  const args = ['x'.repeat(10_000)];
  const spec = { kind: 'spec', spec: { container: { image: 'a', args } } } as const;
  const archive = {
    ...SMALL,
    jobs: [
      jobOf(
        1,
        Array.from({ length: 100 }, (_, i) => revisionOf(i + 1, spec)),
      ),
    ],
  };
  const text = await write(archive);
  assert.equal(text.match(/kind: JobHistory/g)?.length, 4);
  assert.deepEqual(await read(text, 65_536), archive);
});

test('keys are written in documents of their own, as many as it takes; one answer can be about 50 000 jobs', async () => {
  assert.equal(
    (await write(SMALL)).split('---\n').at(-2),
    `apiVersion: bulkhead.dev/v1alpha1
kind: IdempotencyKeys
keys:
  - key: key 1
    bodyHash: ${'b'.repeat(64)}
    receipts: '[{"id": null, "outcome": "absent", "revision": null}]'
    createdAt: "2026-01-31T23:59:59.000001Z"
  - namespace: ads
    key: key 2
    bodyHash: ${'b'.repeat(64)}
    receipts: '[{"id": null, "outcome": "absent", "revision": null}]'
    createdAt: "2026-01-31T23:59:59.000001Z"
`,
  );
  const receipt = { id: uuid(1), outcome: 'created', revision: 1 };
  const long = { ...keyOf(0, 'ads'), receipts: JSON.stringify(Array.from({ length: 50_000 }, () => receipt)) };
  const keys = [long, ...Array.from({ length: 2_000 }, (_, n) => keyOf(n + 1, 'ads'))];
  const text = await write({ ...SMALL, keys });
  assert.equal(text.match(/kind: IdempotencyKeys/g)?.length, 3);
  assert.deepEqual(await read(text, 65_536), { ...SMALL, keys });
});

test('the largest spec that the definition takes can be read back', async () => {
  const ports = Array.from({ length: 64 }, (_, i) => ({ port: i + 1, protocol: 'UDP' as const }));
  const peers = Array.from({ length: 64 }, (_, i) => ({ cidr: `10.${i}.0.0/16`, ports }));
  const env = Array.from({ length: 256 }, (_, i) => ({ name: `A${i}`, secretKeyRef: { name: 's', key: 'k' } }));
  const spec = { container: { image: 'a', env }, network: { egress: peers, ingress: peers } };
  const archive = { ...SMALL, jobs: [jobOf(1, [revisionOf(1, { kind: 'spec', spec })])] };
  assert.deepEqual(await read(await write(archive), 65_536), archive);
});

test('a store without anything is an archive too', async () => {
  const empty = { ...SMALL, jobs: [], keys: [] };
  assert.deepEqual(await read(await write(empty)), empty);
});

test('what a job said is kept though a later definition would refuse it: it is history', async () => {
  const spec = { container: { image: 'a' }, colour: 'red' };
  const archive = { ...SMALL, jobs: [jobOf(1, [revisionOf(1, { kind: 'spec', spec } as ArchivedContent)])] };
  assert.deepEqual(await read(await write(archive)), archive);
});

test('a file that another system gave other line ends is read the same', async () => {
  assert.deepEqual(await read((await write(SMALL)).replaceAll('\n', '\r\n'), 7), SMALL);
});

const text = await write(SMALL);
const cut = (before: string) => text.slice(0, text.indexOf(before));
const JOB_2 = text.slice(
  text.lastIndexOf('---\n', text.indexOf('name: job2')),
  text.indexOf('---\napiVersion: bulkhead.dev/v1alpha1\nkind: IdempotencyKeys'),
);

const DAMAGED: readonly [reason: string, text: string, said: string][] = [
  ['nothing', '', '1 : found no document, expected an archive, which begins with the kind Store'],
  [
    'jobs as people write them',
    'apiVersion: bulkhead.dev/v1alpha1\nkind: StreamJob\n',
    '2 kind: found "StreamJob", expected an archive; it is for `bulkhead apply -f`',
  ],
  [
    'something else',
    'kind: Deployment\n',
    '1 kind: found "Deployment", expected a document of an archive: Store, PlatformHistory, JobHistory, IdempotencyKeys, StoreEnd',
  ],
  [
    'no header',
    text.slice(text.indexOf('---', 4)),
    '3 : found JobHistory, expected an archive, which begins with the kind Store',
  ],
  [
    'a later format',
    text.replace('format: 1', 'format: 2'),
    '6 format: found 2, expected 1, the format that this Bulkhead reads',
  ],
  [
    'cut off between two jobs',
    cut(JOB_2),
    '10 : found the end of the text after this, expected StoreEnd: the archive is not whole',
  ],
  [
    'cut off in the header',
    cut('---\napiVersion: bulkhead.dev/v1alpha1\nkind: JobHistory'),
    '3 : found the end of the text after this, expected StoreEnd: the archive is not whole',
  ],
  [
    'a job that was taken out',
    text.replace(JOB_2, ''),
    '73 counts.jobs: found 1 job before it, expected 2: the archive is not whole',
  ],
  [
    'a revision that was taken out',
    text.replace(/ {2}- revision: 4[\s\S]*?(?= {2}- revision: 5)/, ''),
    '84 counts.jobRevisions: found 5 job revisions before it, expected 6: the archive is not whole',
  ],
  [
    'a job that is there twice',
    text.replace(JOB_2, `${JOB_2}${JOB_2}`),
    '78 : found the same job again, expected the rest of its history, with higher revisions',
  ],
  [
    'a job that comes again later',
    text.replace(JOB_2, `${JOB_2}${text.slice(text.indexOf('---\n', 4), text.indexOf(JOB_2))}`),
    '78 metadata.uid: found the job 11111111-1111-4111-8111-000000000001 a second time, expected each once',
  ],
  [
    'something after the end',
    `${text}---\n${text}`,
    '100 : found a document after the end of the archive, expected none',
  ],
  [
    'revisions out of order',
    text.replace('revision: 3', 'revision: 2'),
    '35 revisions[2].revision: found 2, expected a number above 2: revisions are there once, oldest first',
  ],
  [
    'a key that was taken out',
    text.replace(/ {2}- namespace: ads\n {4}key: key 2[\s\S]*?(?=---)/, ''),
    '86 counts.idempotencyKeys: found 1 idempotency key before it, expected 2: the archive is not whole',
  ],
  [
    'an answer that is no JSON',
    text.replace('\'[{"id": null', '\'[{"id": nil'),
    '82 keys[0].receipts: found "[{\\"id\\": nil, \\"outcome\\": \\"absent\\", \\"revision\\": null}]", expected JSON of a list or a map, as text',
  ],
  [
    'a job among the keys',
    text.replace('---\napiVersion: bulkhead.dev/v1alpha1\nkind: StoreEnd', `${JOB_2.replaceAll('job2', 'job3')}$&`),
    '91 kind: found JobHistory here, expected IdempotencyKeys',
  ],
  [
    'a time to bring back that is none',
    text.replace('undeleteRetention: P7D', 'undeleteRetention: P'),
    '7 undeleteRetention: found "P", expected an ISO 8601 duration, such as P7D or PT1H30M',
  ],
  [
    'a time without microseconds',
    text.replace('00.000001Z', '00Z'),
    '15 createdAt: found "2026-01-01T00:00:00Z", expected a time in UTC with microseconds, such as 2026-01-31T23:59:59.123456Z',
  ],
  [
    'a day that no month has',
    text.replace('2026-01-01T', '2026-02-30T'),
    '15 createdAt: found "2026-02-30T00:00:00.000001Z", expected a time in UTC with microseconds, such as 2026-01-31T23:59:59.123456Z',
  ],
  [
    'an end of what has none',
    text.replace('    cleared: true\n', '    cleared: true\n    until: "2026-02-01T00:00:00.000001Z"\n'),
    '51 revisions[3].until: found "2026-02-01T00:00:00.000001Z", expected no end but for a patch of the layer oncall',
  ],
  [
    'taking over on a layer that is no object of Kubernetes',
    text.replace('    cleared: true\n', '    cleared: true\n    takeOver: true\n'),
    '51 revisions[3].takeOver: found true, expected it with the layer job only',
  ],
  [
    'content of another layer',
    text.replace('    removed: true\n', '    cleared: true\n'),
    '52 revisions[4].layer: found "job", expected exactly one of spec, removed beside it',
  ],
  [
    'a field that is not known',
    text.replace('author: ann', 'auhtor: ann'),
    '20 revisions[0].auhtor: unknown field; did you mean `author`?',
  ],
  [
    'a mistake of syntax',
    text.replace('uid: 1', 'uid: [1'),
    '14 : found [ that is never closed, expected ] at its end',
  ],
];

for (const [reason, damaged, said] of DAMAGED) {
  test(`an archive is refused as a whole: ${reason}`, async () => assert.equal(await refusal(damaged), said));
}
