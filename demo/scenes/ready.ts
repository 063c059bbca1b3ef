import { setTimeout as sleep } from 'node:timers/promises';
import type { JobId, JobRef } from '../../src/job/ids.ts';
import { step } from '../../test/cluster/progress.ts';
import type { Cells } from '../cells.ts';
import { rate } from '../cells.ts';
import { type Finding, finding } from '../report.ts';
import { bulkhead, isRunning, type Stage, untilStatus } from '../stage.ts';

const READY_LIMIT_MS = 90_000;
const LOOK_MS = 3_000;

/** Scene 1: three jobs from examples/ become three cells whose workers really work. */
export async function ready(stage: Stage, cells: Cells): Promise<{ jobs: readonly JobRef[]; findings: Finding[] }> {
  await bulkhead(stage, 'apply', '-f', 'examples/', '--reason', 'the demo');
  const jobs = (await stage.store.list()).map((goal) => goal.job);
  const ids: JobId[] = jobs.map((job) => job.id);
  const tookMs = await step('Waiting until all three jobs are ready', () =>
    untilStatus(stage, ids, 'all jobs are ready', READY_LIMIT_MS, isRunning),
  );
  process.stdout.write(`\n${await bulkhead(stage, 'get', '-A', '-o', 'wide')}\n\n`);
  const namespaces = new Set(jobs.map((job) => cells.namespace(job)));
  const from = await Promise.all(jobs.map((job) => cells.sample(job)));
  await sleep(LOOK_MS);
  const rates = await Promise.all(
    jobs.map(async (job, i) => rate(from[i] ?? (await cells.sample(job)), await cells.sample(job))),
  );
  return {
    jobs,
    findings: [
      finding(
        'all three jobs are ready, each in a cell of its own',
        namespaces.size === 3,
        `after ${(tookMs / 1000).toFixed(1)} s, ${namespaces.size} namespaces`,
      ),
      finding(
        'their workers process their streams',
        rates.every((r) => r > 0),
        rates.map((r) => `${Math.round(r)}/s`).join(', '),
      ),
    ],
  };
}
