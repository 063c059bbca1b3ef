import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { readFailure, readSources, SourceError } from '../../../src/cli/sources.ts';
import { MAX_FILE_BYTES } from '../../../src/job/yaml-text.ts';

let folder = '';
const at = (name: string) => join(folder, name);
const put = (name: string, content: string | Uint8Array) => writeFileSync(at(name), content);

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'bulkhead-sources-'));
  for (const name of ['jobs', 'jobs/inner', 'jobs/inner/deep', 'jobs/folder.yaml', 'empty', 'outer', 'outer/inner'])
    mkdirSync(at(name));
  for (const name of [
    'jobs/b.yaml',
    'jobs/a.yml',
    'jobs/c.json',
    'jobs/readme.md',
    'jobs/inner/d.yaml',
    'jobs/inner/deep/e.yaml',
    'outer/inner/f.yaml',
  ]) {
    put(name, name);
  }
  // What would make a reader wait for ever or go round in a circle.
  execFileSync('mkfifo', [at('jobs/pipe.yaml')]);
  symlinkSync(at('jobs'), at('jobs/inner/circle'));
  symlinkSync(at('circle.yaml'), at('circle.yaml'));
  symlinkSync(at('jobs/b.yaml'), at('link.yaml'));
});
after(() => rmSync(folder, { recursive: true }));

const names = async (paths: readonly string[], recursive = false) =>
  (
    await readSources(
      paths.map((path) => (path === '-' ? path : at(path))),
      { recursive, stdin: Readable.from([Buffer.from('in')]) },
    )
  ).map((source) => source.name.replace(`${folder}/`, ''));

const READS: readonly [reason: string, paths: readonly string[], recursive: boolean, names: readonly string[]][] = [
  ['a file, whatever it is called', ['jobs/readme.md'], false, ['jobs/readme.md']],
  [
    'the jobs of a folder by name, not those of its folders',
    ['jobs'],
    false,
    ['jobs/a.yml', 'jobs/b.yaml', 'jobs/c.json'],
  ],
  [
    'those of its folders too with -R',
    ['jobs'],
    true,
    ['jobs/a.yml', 'jobs/b.yaml', 'jobs/c.json', 'jobs/inner/d.yaml', 'jobs/inner/deep/e.yaml'],
  ],
  ['a folder that only holds folders with -R', ['outer'], true, ['outer/inner/f.yaml']],
  ['the standard input', ['-'], false, ['stdin']],
  [
    'sources in the order they are named',
    ['jobs/b.yaml', '-', 'jobs/a.yml'],
    false,
    ['jobs/b.yaml', 'stdin', 'jobs/a.yml'],
  ],
  [
    'a file that is named twice, or through a folder or a link, once',
    ['link.yaml', 'jobs/b.yaml', 'jobs', '-', '-'],
    false,
    ['link.yaml', 'jobs/a.yml', 'jobs/c.json', 'stdin'],
  ],
];

for (const [reason, paths, recursive, expected] of READS) {
  test(`reads ${reason}`, async () => {
    assert.deepEqual(await names(paths, recursive), expected);
  });
}

test('letters that lie across two pieces of a pipe stay whole', async () => {
  const bytes = Buffer.from('é\u{1f600}');
  const stdin = Readable.from([...bytes].map((byte) => Buffer.from([byte])));
  assert.deepEqual(await readSources(['-'], { stdin }), [{ name: 'stdin', text: 'é\u{1f600}' }]);
});

const utf16 = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('a: 1', 'utf16le')]);
const REFUSES: readonly [reason: string, name: string, content: string | Uint8Array | null, sentence: RegExp][] = [
  ['what is not there', 'gone.yaml', null, /gone\.yaml: there is no such file or folder$/],
  ['a name that a terminal would act on, shown harmlessly', 'a\u001b[2J.yaml', null, /a\\u001b\[2J\.yaml: there is no/],
  ['what is inside a file', 'jobs/b.yaml/x', null, /a part of the path is a file$/],
  ['links that go round', 'circle.yaml', null, /links lead round in a circle$/],
  [
    'a folder with nothing in it',
    'empty',
    null,
    /^there is no \.yaml, \.yml or \.json file in the folder .*empty \(-R also/,
  ],
  ['a folder that only holds folders', 'outer', null, /outer \(-R also looks into the folders inside it\)$/],
  ['UTF-16, which PowerShell writes', 'utf16.yaml', utf16, /it is in UTF-16; save it as UTF-8$/],
  [
    'Latin-1',
    'latin1.yaml',
    Buffer.from('a: 1\nb: caf\xe9\n', 'latin1'),
    /byte 11 \(line 2\) is not UTF-8; save it as UTF-8$/,
  ],
  [
    'text that ends in the middle of a letter',
    'cut.yaml',
    Buffer.from('a: é').subarray(0, 4),
    /byte \d \(line 1\) is not UTF-8/,
  ],
  [
    'half a surrogate pair in UTF-8',
    'cesu.yaml',
    Buffer.from([0x61, 0x0a, 0xed, 0xa0, 0x80]),
    /byte 2 \(line 2\) is not UTF-8/,
  ],
  [
    'what is too large',
    'large.yaml',
    Buffer.alloc(MAX_FILE_BYTES + 1, 0x20),
    /large\.yaml: it is larger than 8 MiB; split it$/,
  ],
];

for (const [reason, name, content, sentence] of REFUSES) {
  test(`refuses ${reason} with one sentence that says what to do`, async () => {
    if (content !== null) put(name, content);
    await assert.rejects(readSources([at(name)]), (error) => {
      assert.ok(error instanceof SourceError);
      assert.equal(error.sentences.length, 1);
      assert.match(error.message, sentence);
      return true;
    });
  });
}

test('what never ends is not read to its end', async () => {
  await assert.rejects(readSources(['/dev/zero']), /larger than 8 MiB/);
});

test('everything that cannot be read is said at once, and nothing is handed on', async () => {
  await assert.rejects(readSources([at('jobs/b.yaml'), at('gone.yaml'), at('empty')]), (error) => {
    assert.ok(error instanceof SourceError);
    assert.equal(error.sentences.length, 2);
    return true;
  });
});

test('errors of the system become sentences; a mistake of our own is not disguised as one', () => {
  const error = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
  assert.equal(readFailure('a.yaml', error).message, 'cannot read a.yaml: you may not read it; check its permissions');
  const unknown = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
  assert.equal(readFailure('a.yaml', unknown).message, 'cannot read a.yaml: the system says EIO');
  assert.throws(() => readFailure('a.yaml', new TypeError('x is undefined')), TypeError);
});
