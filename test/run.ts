import { globSync } from 'node:fs';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { duration, note } from './cluster/progress.ts';
import { startSharedServer } from './support/postgres.ts';

/**
 * `npm test [-- GROUP|FILE …]`: all tests, group by group, the fast ones first. Nothing is skipped: what a machine
 * lacks is built or installed, or the tests that need it fail and say so.
 */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Ends a file that would keep the run for ever. */
const ENDS = new URL('support/ends.ts', import.meta.url).href;

const GROUPS = [
  { name: 'unit', what: 'pure code, golden files and properties; seconds', concurrency: 2 },
  { name: 'integration', what: 'a real Postgres and a real API server; about 4 minutes', concurrency: 2 },
  { name: 'alone', what: 'deadlines that need the machine to themselves; about 1 minute', concurrency: 1 },
  { name: 'e2e', what: 'kind with real pods; about 5 minutes', concurrency: 1 },
] as const;

interface Counts {
  passed: number;
  failed: number;
}

function filesOf(group: string, wanted: readonly string[]): string[] {
  const files = globSync(join(ROOT, 'test', group, '**/*.test.ts')).sort();
  if (wanted.length === 0 || wanted.includes(group)) return files;
  return files.filter((file) => wanted.some((w) => w.endsWith('.ts') && file.endsWith(w)));
}

/** Runs the files of one group, each in a process of its own, and prints what node:test's spec reporter prints. */
async function runFiles(files: string[], concurrency: number): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0 };
  const events = run({ files, concurrency, execArgv: ['--import', ENDS] });
  // A file that passed is reported like a test of its own; one whose hooks or imports failed is a failure like any other.
  const isFile = (name: string) => files.includes(join(ROOT, name)) || files.includes(name);
  events.on('test:pass', (test) => {
    if (test.details.type !== 'suite' && !isFile(test.name)) counts.passed += 1;
  });
  events.on('test:fail', (test) => {
    if (test.details.type !== 'suite') counts.failed += 1;
  });
  const printed = events.compose(new spec());
  printed.pipe(process.stdout, { end: false });
  await new Promise((resolve, reject) => printed.on('end', resolve).on('error', reject));
  return counts;
}

const startedAt = performance.now();
Object.assign(process.env, await startSharedServer());
const wanted = process.argv.slice(2);
const total: Counts = { passed: 0, failed: 0 };
for (const group of GROUPS) {
  const files = filesOf(group.name, wanted);
  if (files.length === 0) continue;
  note(`\n${group.name}: ${group.what} (${files.length} files)`);
  const counts = await runFiles(files, group.concurrency);
  total.passed += counts.passed;
  total.failed += counts.failed;
}
if (total.passed + total.failed === 0) {
  note(
    `No test is named ${wanted.join(', ')}: name a group (${GROUPS.map(({ name }) => name).join(', ')}) or the end of a file's path.`,
  );
  process.exit(1);
}
console.log(`\nAll of it took ${duration(performance.now() - startedAt)}.`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);
