import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { execa } from 'execa';
import { expectedAfter } from '../../../src/cli/complete.ts';
import { SCRIPTS } from '../../../src/cli/completion.ts';
import { createProgram } from '../../../src/cli/program.ts';

const BIN = join(import.meta.dirname, '../../../bin');
const program = createProgram('bulkhead');
const after = (...words: string[]) => expectedAfter(program, words);
const values = (...words: string[]) => after(...words).candidates.map(({ value }) => value);

test('commands and their own commands are offered where one is expected, and nowhere else', () => {
  for (const name of ['apply', 'get', 'uninstall', 'completion']) assert.ok(values('').includes(name), name);
  assert.ok(!values('').includes('help'));
  assert.deepEqual(values('database', ''), ['start', 'stop', 'status', 'url']);
  assert.deepEqual(values('get', ''), []);
  assert.ok(values('-n', 'ads', '').includes('get'), 'the value of an option is no command');
});

test('options are those of the command and of the whole program', () => {
  const offered = values('get', '-');
  for (const name of ['--output', '--namespace', '--help']) assert.ok(offered.includes(name), name);
  assert.ok(!offered.includes('--keep-workers'));
});

test('values are offered where there are a few, also behind an =', () => {
  assert.deepEqual(values('get', '-o', '').toSorted(), ['json', 'name', 'wide', 'yaml']);
  assert.ok(values('get', '--output=').includes('--output=json'));
  assert.deepEqual(values('completion', ''), Object.keys(SCRIPTS));
});

test('files where one is named, and names of jobs where a job is', () => {
  assert.equal(after('apply', '-f', '').file, true);
  assert.equal(after('apply', '').file, false);
  assert.equal(after('describe', '').job, true);
  assert.equal(after('describe', 'a', '').job, true, 'it takes several');
  assert.equal(after('explain', 'a', '').job, false, 'it takes one');
  assert.equal(after('get', '-o', '').job, false);
});

test('what makes no sense is answered with what does', () => {
  assert.deepEqual(values('nonsense', 'apply', ''), []);
  assert.deepEqual(values('get', '--nonsense='), []);
  assert.ok(values().includes('apply'));
});

test('kubectl is answered as it asks its plugins: candidates, their descriptions, a directive', async () => {
  const { stdout } = await execa(join(BIN, 'kubectl_complete-bulkhead'), ['unins']);
  assert.match(stdout, /^uninstall\tRemove Bulkhead .*\n:4$/);
});

test("as kubectl's plugin it is called what people type", async () => {
  const { stdout } = await execa(join(BIN, 'kubectl-bulkhead'), ['get', '--help']);
  assert.match(stdout, /^Usage: kubectl bulkhead get /);
});

test('bash completes with the script, and with files after -f', async () => {
  const script = `
    source <(bulkhead completion bash)
    complete_line() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bulkhead 2>/dev/null; echo "\${COMPREPLY[*]}"; }
    complete_line bulkhead unins
    complete_line bulkhead get -o ''
    compopt() { echo "compopt $*"; }
    complete_line bulkhead apply -f ''`;
  const { stdout } = await execa('bash', ['-c', script], { env: { PATH: `${BIN}:${process.env.PATH}` } });
  assert.deepEqual(stdout.split('\n'), ['uninstall', 'wide yaml json name', 'compopt -o default', '']);
});
