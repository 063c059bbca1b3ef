import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { step } from '../../test/cluster/progress.ts';
import { tunedYardstick } from '../heal/yardstick.ts';
import { type BenchPostgres, benchPostgres, freshLab, type Lab, rssBytes } from '../lab/index.ts';
import { lineChart } from '../plot.ts';
import type { BenchResult } from '../result.ts';
import { line, rounded } from '../statistics.ts';
import { convergedBulkhead } from './converged.ts';
import { HEAP_KINDS, type Heap, heapOf, snapshotOptions } from './heap.ts';

export interface MemoryOptions {
  /** The largest number of jobs. */
  readonly jobs?: number;
  readonly sizes?: readonly number[];
  readonly only?: readonly string[];
  readonly quick?: boolean;
  readonly save?: boolean;
}

const NAMES = ['bulkhead', 'tuned'] as const;
type Name = (typeof NAMES)[number];

const LIMITS = { ratio: 0.25, bytesAJob: 4_096 };
const SAMPLE_MS = 1_000;
const START_LIMIT_MS = 300_000;

/** Resident bytes while it is left alone. */
interface Sample {
  readonly jobs: number;
  readonly bytes: number;
  /** What of it lives on the heap. */
  readonly heap?: Heap;
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

async function bulkheadSample(lab: Lab, postgres: BenchPostgres, jobs: number, quick: boolean): Promise<Sample> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-heap-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const env = { NODE_OPTIONS: snapshotOptions(folder) };
  const { pid } = stack.use(await convergedBulkhead(lab, postgres, jobs, env));
  return { jobs, bytes: await settled(pid, quick), heap: await heapOf(pid, folder) };
}

async function tunedSample(lab: Lab, jobs: number, quick: boolean): Promise<Sample> {
  await using yardstick = await tunedYardstick(lab, jobs, { startLimitMs: START_LIMIT_MS });
  return { jobs, bytes: await settled(yardstick.pid, quick) };
}

/** Bytes a job. */
const slope = (samples: readonly Pick<Sample, 'jobs' | 'bytes'>[]): number =>
  line(samples.map(({ jobs, bytes }) => ({ x: jobs, y: bytes }))).perX;

/** Bytes a job that live on the heap, by what they are. */
function heapSlopes(samples: readonly Sample[]): Heap | null {
  const of = (kind: keyof Heap): number =>
    Math.round(slope(samples.map(({ jobs, heap }) => ({ jobs, bytes: heap?.[kind] ?? 0 }))));
  if (samples.length < 2) return null;
  return Object.fromEntries(HEAP_KINDS.map((kind) => [kind, of(kind)])) as Record<keyof Heap, number>;
}

/** How much memory one more job takes, once everything has come to rest. */
export async function memory(options: MemoryOptions): Promise<BenchResult> {
  const quick = options.quick ?? false;
  const sizes = quick ? [20] : (options.sizes ?? [1_000, 4_000, options.jobs ?? 10_000]);
  const only = options.only ?? (quick ? ['bulkhead'] : NAMES);
  await using lab = await freshLab('bench-memory', { controllers: false });
  await using postgres = await benchPostgres('memory');
  const samples: Record<Name, Sample[]> = { bulkhead: [], tuned: [] };
  let first = true;
  for (const jobs of sizes) {
    for (const name of NAMES.filter((one) => only.includes(one))) {
      if (!first) await lab.wipe();
      first = false;
      const sample = await step(
        `${name}, ${jobs} jobs`,
        () => (name === 'bulkhead' ? bulkheadSample(lab, postgres, jobs, quick) : tunedSample(lab, jobs, quick)),
        { typical: '1–5 min' },
      );
      samples[name].push(sample);
    }
  }
  return resultOf(sizes, samples, quick);
}

function resultOf(sizes: readonly number[], samples: Record<Name, Sample[]>, quick: boolean): BenchResult {
  const measured = NAMES.filter((name) => samples[name].length > 1);
  for (const name of measured) {
    const each = samples[name].map(({ jobs, bytes }) => `${jobs}: ${(bytes / 2 ** 20).toFixed(0)} MiB`).join(', ');
    process.stdout.write(
      `${name.padEnd(10)}${(slope(samples[name]) / 1024).toFixed(2).padStart(8)} KiB a job   (${each})\n`,
    );
  }
  const heap = heapSlopes(samples.bulkhead);
  if (heap)
    process.stdout.write(`bytes a job on the heap: ${HEAP_KINDS.map((kind) => `${kind} ${heap[kind]}`).join(', ')}\n`);
  const [only, ...more] = samples.bulkhead;
  // From a single size nothing can be said about growth: a smoke run says what there is.
  const ours = only && more.length === 0 ? only.bytes / only.jobs : slope(samples.bulkhead);
  const ratio = samples.tuned.length > 1 ? ours / slope(samples.tuned) : null;
  const met = ours <= LIMITS.bytesAJob && (ratio === null || ratio <= LIMITS.ratio);
  return {
    bench: 'memory',
    jobs: sizes.at(-1) ?? 0,
    value: Math.round(ours),
    unit: 'bytes a job',
    target: LIMITS.bytesAJob,
    met: quick || met,
    verdict: quick ? 'undecided' : met ? 'met' : 'missed',
    ratio: ratio === null ? null : rounded(ratio),
    ratioTarget: LIMITS.ratio,
    heapBytesAJob: heap,
    samples,
    plot: lineChart({
      title: 'Resident memory at rest',
      unit: 'MiB',
      xLabel: 'jobs',
      series: measured.map((name) => ({
        name,
        points: samples[name].map(({ jobs, bytes }) => [jobs, bytes / 2 ** 20] as const),
      })),
    }),
  };
}
