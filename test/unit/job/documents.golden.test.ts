import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { duplicateJobs, parseDocuments } from '../../../src/job/document.ts';
import { formatProblems } from '../../../src/job/problem.ts';

/** One file for each class of mistake. Re-made by UPDATE_GOLDEN=1 npm test; read the difference before you commit it. */
const FOLDER = new URL('../../golden/documents/', import.meta.url);
const inputs = readdirSync(FOLDER).filter((name) => /\.(yaml|json)$/.test(name));

function said(name: string): string {
  const { jobs, problems } = parseDocuments(readFileSync(new URL(name, FOLDER), 'utf8'), name);
  const found = jobs.map(({ job, position }) => `${position.line}:${position.column} ${job.metadata.name}`);
  const text = formatProblems([...problems, ...duplicateJobs(jobs)]);
  return `${text}\njobs: ${found.length === 0 ? 'none' : found.join(', ')}\n`;
}

for (const name of inputs) {
  test(`what is said of ${name} is what was read and approved`, () => {
    const expected = new URL(`${name}.txt`, FOLDER);
    const actual = said(name);
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(expected, actual);
    assert.equal(actual, readFileSync(expected, 'utf8'));
  });
}

test('every sentence says what to do, names no library and repeats no secret', () => {
  for (const name of inputs) {
    const lines = said(name).split('\n').slice(0, -3);
    for (const line of lines) {
      assert.match(line, /^[\w.-]+:\d+:\d+: /, name);
      assert.match(line, /expected|did you mean|which no field/, name);
      assert.doesNotMatch(line, /zod|Invalid input|implicit|scalar|mapping|undefined|CANARY|\n/i, name);
      assert.doesNotMatch(line, /\p{Cc}/u, name);
    }
  }
});
