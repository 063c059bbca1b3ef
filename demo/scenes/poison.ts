import { setTimeout as sleep } from 'node:timers/promises';
import type { JobRef } from '../../src/job/ids.ts';
import { jobName } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import type { JobStatus } from '../../src/job/status.ts';
import { step } from '../../test/cluster/progress.ts';
import { type Cells, rate, type Sample } from '../cells.ts';
import { attempt, type Finding, finding, seconds } from '../report.ts';
import { isRunning, type Stage, untilStatus } from '../stage.ts';

const MEASURE_MS = 10_000;
const POISON_LIMIT_MS = 90_000;
/** Neighbours may lose this share of their throughput to the noise of a shared machine, no more. */
const NOISE = 0.1;
const LEAK_MB_PER_SECOND = '20';
const ORIGIN = { author: 'demo', source: 'cli', reason: 'poisoned on purpose' } as const;

interface Neighbour {
  readonly job: JobRef;
  readonly before: number;
  readonly during: number;
  readonly restarts: number;
}

/** Scene 2: one job leaks until the kernel kills it, then gets an image that does not exist. The others must not notice. */
export async function poison(stage: Stage, cells: Cells, jobs: readonly JobRef[]): Promise<Finding[]> {
  const [victim, ...neighbours] = jobs;
  if (!victim) throw new Error('there is no job to poison');
  const healthy = await specOf(stage, victim);
  const rates = (from: readonly Sample[], to: readonly Sample[]) =>
    from.map((sample, i) => rate(sample, to[i] ?? sample));
  const samples = () => Promise.all(neighbours.map((job) => cells.sample(job)));

  const calm = await samples();
  await step(`Measuring the neighbours of ${jobName(victim)} while all is well`, () => sleep(MEASURE_MS));
  const start = await samples();
  const reasons = [
    await poisonWith(stage, victim, leaking(healthy), 'OutOfMemory', 'leaks memory until the kernel kills it'),
    await poisonWith(stage, victim, withoutImage(healthy), 'ImagePullFailed', 'gets an image that does not exist'),
  ];
  const left = MEASURE_MS - (performance.now() - (start[0]?.atMs ?? 0));
  if (left > 0) await sleep(left);
  const end = await samples();
  const before = rates(calm, start);
  const during = rates(start, end);
  const seen = await Promise.all(
    neighbours.map(async (job, i): Promise<Neighbour> => {
      return { job, before: before[i] ?? 0, during: during[i] ?? 0, restarts: await cells.restarts(job) };
    }),
  );
  const cured = await attempt(`${jobName(victim)} is cured by its former spec`, async () => {
    await apply(stage, victim, healthy);
    const cure = () => untilStatus(stage, [victim.id], 'it runs again', POISON_LIMIT_MS, isRunning);
    return `after ${seconds(await step(`Curing ${jobName(victim)}`, cure))}`;
  });
  return [...reasons, ...seen.flatMap(judge), cured];
}

const judge = ({ job, before, during, restarts }: Neighbour): Finding[] => [
  finding(`${jobName(job)}, its neighbour, is never restarted`, restarts === 0, `${restarts} restarts`),
  finding(
    `${jobName(job)} keeps its throughput`,
    during >= before * (1 - NOISE),
    `${Math.round(before)}/s before, ${Math.round(during)}/s during (${(during / before).toFixed(2)}×)`,
  ),
];

async function specOf(stage: Stage, job: JobRef): Promise<JobSpec> {
  const goal = await stage.store.find(job);
  if (goal?.content.kind !== 'spec') throw new Error(`${jobName(job)} has no spec`);
  return goal.content.spec;
}

const apply = (stage: Stage, job: JobRef, spec: JobSpec) =>
  stage.store.write([{ job: { tenant: job.tenant, name: job.name }, content: { kind: 'spec', spec } }], ORIGIN);

const leaking = (spec: JobSpec): JobSpec => ({
  ...spec,
  container: {
    ...spec.container,
    env: [...(spec.container.env ?? []), { name: 'LEAK_MB_PER_SECOND', value: LEAK_MB_PER_SECOND }],
  },
});

const withoutImage = (spec: JobSpec): JobSpec => ({
  ...spec,
  container: { ...spec.container, image: 'bulkhead.local/does-not-exist:1' },
});

async function poisonWith(stage: Stage, victim: JobRef, spec: JobSpec, reason: string, what: string): Promise<Finding> {
  const title = `${jobName(victim)} ${what}`;
  return attempt(title, async () => {
    await apply(stage, victim, spec);
    const saysSo = ({ conditions }: JobStatus) => conditions.some((c) => c.reason === reason);
    const tookMs = await step(title, () => untilStatus(stage, [victim.id], reason, POISON_LIMIT_MS, saysSo));
    return `condition ${reason} after ${seconds(tookMs)}`;
  });
}
