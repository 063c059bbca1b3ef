import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { duplicateJobs, parseDocuments, toYaml } from '../../../src/job/document.ts';

const FOLDER = new URL('../../../examples/', import.meta.url);
const parsed = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => parseDocuments(readFileSync(new URL(name, FOLDER), 'utf8'), name));
const jobs = parsed.flatMap((file) => file.jobs);

test('every example is right: people copy them', () => {
  assert.deepEqual([...parsed.flatMap((file) => file.problems), ...duplicateJobs(jobs)], []);
});

test('the examples are the jobs that the demo counts on', () => {
  const names = jobs.map(({ job }) => `${job.metadata.namespace}/${job.metadata.name} x${job.spec.workers?.replicas}`);
  assert.deepEqual(names.sort(), ['ads/clicks-by-country x2', 'ads/page-latency x1', 'shop/orders-by-region x2']);
});

test('an example that is exported and applied again is the same job', () => {
  for (const { job } of jobs) {
    const text = toYaml({ tenant: job.metadata.namespace, name: job.metadata.name, spec: job.spec });
    assert.deepEqual(parseDocuments(text, 'f').jobs[0]?.job, job);
  }
});
