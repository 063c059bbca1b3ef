import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { step } from '../../test/cluster/progress.ts';
import { tunedYardstick } from '../heal/yardstick.ts';
import { type BenchPostgres, benchPostgres, freshLab, type Lab, rssBytes } from '../lab/index.ts';
import { lineChart } from '../plot.ts';
import type { BenchResult } from '../result.ts';
import { line, quantile, type Ratio, resample, rounded, type Verdict, verdict } from '../statistics.ts';
import { type Converged, converged } from './converged.ts';
import { HEAP_KINDS, type Heap, heapOf, snapshotOptions } from './heap.ts';

export interface MemoryOptions {
  /** The largest number of jobs. */
  readonly jobs?: number;
  readonly sizes?: readonly number[];
  readonly only?: readonly string[];
  /** Of Bulkhead with each number of jobs, one after the other; by default 5. */
  readonly starts?: number;
  readonly quick?: boolean;
  readonly save?: boolean;
}

const NAMES = ['bulkhead', 'tuned'] as const;
type Name = (typeof NAMES)[number];

const LIMITS = { ratio: 0.25, bytesAJob: 4_096 };
const STARTS = 5;
const RESAMPLES = 2_000;
const SAMPLE_MS = 1_000;
const START_LIMIT_MS = 300_000;

/** What one process takes while it is left alone. */
interface Look {
  /** Resident. */
  readonly bytes: number;
  /** What of it lives on the heap. */
  readonly heap?: Heap;
}

interface Sample {
  readonly jobs: number;
  /** Of each start: when Node last collected its garbage is chance, and up to 20 MiB. */
  readonly looks: readonly Look[];
}

/** The lowest of several looks while nothing happens: what was only needed on the way is given back by then, or never. */
async function settled(pid: number, quick: boolean): Promise<number> {
  const looks: number[] = [];
  for (let i = 0; i < (quick ? 3 : 45); i += 1) {
    await sleep(SAMPLE_MS);
    looks.push(rssBytes(pid));
  }
  return Math.min(...looks.slice(-10));
}

async function bulkheadLook(cells: Converged, quick: boolean): Promise<Look> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-heap-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const operator = stack.adopt(await cells.start({ NODE_OPTIONS: snapshotOptions(folder) }), (it) => it.kill());
  return { bytes: await settled(operator.pid, quick), heap: await heapOf(operator.pid, folder) };
}

async function bulkheadLooks(lab: Lab, postgres: BenchPostgres, jobs: number, starts: number, quick: boolean) {
  await using cells = await converged(lab, postgres, jobs);
  const looks: Look[] = [];
  for (let i = 0; i < starts; i += 1) {
    looks.push(await step(`bulkhead, start ${i + 1} of ${starts}`, () => bulkheadLook(cells, quick)));
  }
  return looks;
}

async function tunedLooks(lab: Lab, jobs: number, quick: boolean): Promise<Look[]> {
  await using yardstick = await tunedYardstick(lab, jobs, { startLimitMs: START_LIMIT_MS });
  return [{ bytes: await settled(yardstick.pid, quick) }];
}

/** Bytes a job, of the medians of each number of jobs. */
const slope = (samples: readonly { readonly jobs: number; readonly bytes: readonly number[] }[]): number =>
  line(samples.map(({ jobs, bytes }) => ({ x: jobs, y: quantile(bytes, 0.5) }))).perX;

const resident = ({ jobs, looks }: Sample) => ({ jobs, bytes: looks.map(({ bytes }) => bytes) });

/** Bytes a job; the interval by bootstrap. */
function residentSlope(samples: readonly Sample[]): Ratio {
  const sizes = samples.map(resident);
  const slopes = Array.from({ length: RESAMPLES }, () =>
    slope(sizes.map(({ jobs, bytes }) => ({ jobs, bytes: resample(bytes) }))),
  );
  return { value: slope(sizes), interval: [quantile(slopes, 0.025), quantile(slopes, 0.975)] };
}

/** Bytes a job that live on the heap, by what they are. */
function heapSlopes(samples: readonly Sample[]): Heap | null {
  const of = (kind: keyof Heap): number =>
    Math.round(slope(samples.map(({ jobs, looks }) => ({ jobs, bytes: looks.map(({ heap }) => heap?.[kind] ?? 0) }))));
  if (samples.length < 2) return null;
  return Object.fromEntries(HEAP_KINDS.map((kind) => [kind, of(kind)])) as Record<keyof Heap, number>;
}

/** How much memory one more job takes, once everything has come to rest. */
export async function memory(options: MemoryOptions): Promise<BenchResult> {
  const quick = options.quick ?? false;
  const sizes = quick ? [20] : (options.sizes ?? [1_000, 4_000, options.jobs ?? 10_000]);
  const starts = quick ? 1 : (options.starts ?? STARTS);
  const only = options.only ?? (quick ? ['bulkhead'] : NAMES);
  await using lab = await freshLab('bench-memory', { controllers: false });
  await using postgres = await benchPostgres('memory');
  const samples: Record<Name, Sample[]> = { bulkhead: [], tuned: [] };
  let first = true;
  for (const jobs of sizes) {
    for (const name of NAMES.filter((one) => only.includes(one))) {
      if (!first) await lab.wipe();
      first = false;
      const looks = await step(
        `${name}, ${jobs} jobs`,
        () => (name === 'bulkhead' ? bulkheadLooks(lab, postgres, jobs, starts, quick) : tunedLooks(lab, jobs, quick)),
        { typical: '1–10 min' },
      );
      samples[name].push({ jobs, looks });
    }
  }
  return resultOf(sizes, samples, quick);
}

const median = ({ looks }: Sample): number =>
  quantile(
    looks.map(({ bytes }) => bytes),
    0.5,
  );

function show(name: Name, samples: readonly Sample[]): void {
  const {
    value,
    interval: [low, high],
  } = residentSlope(samples);
  const each = samples.map((sample) => `${sample.jobs}: ${(median(sample) / 2 ** 20).toFixed(0)} MiB`).join(', ');
  const slopes = `${Math.round(value)} (95 %: ${Math.round(low)}–${Math.round(high)})`;
  process.stdout.write(`${name.padEnd(10)}${slopes} bytes a job   (${each})\n`);
}

/** From a single size nothing can be said about growth: a smoke run says what there is. */
const ofOne = (sample: Sample | undefined): Ratio => {
  const value = sample ? median(sample) / sample.jobs : Number.NaN;
  return { value, interval: [value, value] };
};

function verdictOf(aJob: Ratio, ratio: Ratio | null): Verdict {
  const verdicts = [verdict(aJob, LIMITS.bytesAJob), ...(ratio ? [verdict(ratio, LIMITS.ratio)] : [])];
  return verdicts.find((one) => one === 'missed') ?? verdicts.find((one) => one === 'undecided') ?? 'met';
}

function resultOf(sizes: readonly number[], samples: Record<Name, Sample[]>, quick: boolean): BenchResult {
  const measured = NAMES.filter((name) => samples[name].length > 1);
  for (const name of measured) show(name, samples[name]);
  const heap = heapSlopes(samples.bulkhead);
  if (heap)
    process.stdout.write(`bytes a job on the heap: ${HEAP_KINDS.map((kind) => `${kind} ${heap[kind]}`).join(', ')}\n`);
  const ours = samples.bulkhead.length > 1 ? residentSlope(samples.bulkhead) : ofOne(samples.bulkhead[0]);
  const theirs = samples.tuned.length > 1 ? residentSlope(samples.tuned).value : null;
  const over = (by: number, { value, interval: [low, high] }: Ratio): Ratio => ({
    value: value / by,
    interval: [low / by, high / by],
  });
  const ratio = theirs === null ? null : over(theirs, ours);
  const said = verdictOf(ours, ratio);
  return {
    bench: 'memory',
    jobs: sizes.at(-1) ?? 0,
    value: Math.round(ours.value),
    unit: 'bytes a job',
    interval: ours.interval.map(Math.round),
    target: LIMITS.bytesAJob,
    met: quick || said === 'met',
    verdict: quick ? 'undecided' : said,
    ratio: ratio === null ? null : rounded(ratio.value),
    ratioTarget: LIMITS.ratio,
    heapBytesAJob: heap,
    samples,
    plot: lineChart({
      title: 'Resident memory at rest',
      unit: 'MiB',
      xLabel: 'jobs',
      series: measured.map((name) => ({
        name,
        points: samples[name].map((sample) => [sample.jobs, median(sample) / 2 ** 20] as const),
      })),
    }),
  };
}
