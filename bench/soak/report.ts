import { lineChart } from '../plot.ts';
import type { BenchResult } from '../result.ts';
import { quantile, rounded, type Verdict } from '../statistics.ts';
import type { Happening } from './churn.ts';
import { type Quiet, writesIn } from './quiet.ts';
import { type Slope, slope } from './slope.ts';

export interface Sample {
  readonly atMs: number;
  readonly bytes: number;
}

export interface Soaked {
  readonly seconds: number;
  readonly samples: readonly Sample[];
  readonly windows: readonly Quiet[];
  readonly happened: Readonly<Record<Happening, number>>;
  /** Samples in one round of churn and quiet. */
  readonly roundSamples: number;
  /** Why it did not go on to its end; null when it did. */
  readonly ended: string | null;
}

/** Until then code is compiled, caches fill and the heap takes its size. */
const WARM_UP_MS = 600_000;
/** Or this part of the time, where that is shorter. */
const WARM_UP_PART = 1 / 3;
/** Growth in an hour that is none: this part of what is resident. */
const GROWTH = 0.05;
const LEAST_SAMPLES = 10;
const HOUR_MS = 3_600_000;
const MIB = 2 ** 20;

interface Growth {
  /** MiB in an hour. */
  readonly slope: Slope;
  readonly limit: number;
  readonly verdict: Verdict;
}

/** null while there are too few samples after the warm-up. */
function growthOf({ samples, seconds, roundSamples }: Soaked): Growth | null {
  const from = Math.min(WARM_UP_MS, seconds * 1000 * WARM_UP_PART);
  const points = samples
    .filter(({ atMs }) => atMs >= from)
    .map(({ atMs, bytes }) => ({ x: atMs / HOUR_MS, y: bytes / MIB }));
  if (points.length < LEAST_SAMPLES) return null;
  const limit =
    GROWTH *
    quantile(
      points.map(({ y }) => y),
      0.5,
    );
  const found = slope(points, roundSamples);
  const [low, high] = found.interval;
  return { slope: found, limit, verdict: high <= limit ? 'met' : low > limit ? 'missed' : 'undecided' };
}

const writesOf = ({ windows }: Soaked): number => windows.reduce((sum, window) => sum + writesIn(window), 0);

/** The table. */
export function line(soaked: Soaked): string {
  const { windows, samples, happened, seconds, ended } = soaked;
  const growth = growthOf(soaked);
  const quietSeconds = windows.reduce((sum, window) => sum + window.seconds, 0);
  const told = growth
    ? `${growth.slope.perX.toFixed(1)} MiB an hour (95 %: ${growth.slope.interval.map((x) => x.toFixed(1)).join(' to ')}), limit ${growth.limit.toFixed(1)}: ${growth.verdict}`
    : 'too few samples to tell';
  const culprits = windows.flatMap(({ clusterWrites, rowsWritten }) => [
    ...clusterWrites,
    ...Object.entries(rowsWritten).map(([table, count]) => `${count} rows of ${table}`),
  ]);
  return [
    `${ended === null ? 'ran' : `PARTIAL (${ended}), ran`}             ${(seconds / 60).toFixed(1)} min`,
    `happened        ${Object.entries(happened)
      .map(([what, count]) => `${what} ${count}`)
      .join(', ')}`,
    `writes at rest  ${writesOf(soaked)} in ${windows.length} windows, ${quietSeconds.toFixed(0)} s`,
    ...culprits.slice(0, 20).map((culprit) => `                ${culprit}`),
    `resident        ${((samples.at(0)?.bytes ?? Number.NaN) / MIB).toFixed(0)} MiB at first, ${((samples.at(-1)?.bytes ?? Number.NaN) / MIB).toFixed(0)} at last`,
    `growth          ${told}`,
    '',
  ].join('\n');
}

export function report(
  soaked: Soaked,
  { jobs, perSecond, quick }: { readonly jobs: number; readonly perSecond: number; readonly quick: boolean },
): BenchResult {
  const growth = growthOf(soaked);
  const writes = writesOf(soaked);
  const verdict = verdictOf(soaked, writes, growth, quick);
  const points = soaked.samples.map(({ atMs, bytes }) => [atMs / 60_000, bytes / MIB] as const);
  const [first, last] = [points.at(0), points.at(-1)];
  const fitted =
    growth && first && last
      ? [first[0], last[0]].map((x) => [x, growth.slope.at0 + (growth.slope.perX * x) / 60] as const)
      : [];
  return {
    bench: 'soak',
    jobs,
    value: growth ? rounded(growth.slope.perX, 2) : Number.NaN,
    unit: 'MiB resident more an hour',
    target: growth ? rounded(growth.limit, 2) : Number.NaN,
    met: quick || verdict === 'met',
    verdict,
    interval: growth?.slope.interval.map((x) => rounded(x, 2)) ?? null,
    writesAtRest: writes,
    quietWindows: soaked.windows.length,
    quietSeconds: rounded(
      soaked.windows.reduce((sum, { seconds }) => sum + seconds, 0),
      0,
    ),
    minutes: rounded(soaked.seconds / 60, 1),
    partial: soaked.ended,
    happened: soaked.happened,
    happeningsASecond: perSecond,
    rssMiB: soaked.samples.map(({ atMs, bytes }) => [Math.round(atMs / 1000), rounded(bytes / MIB, 1)]),
    quick,
    plot: lineChart({
      title: `Resident memory, ${jobs} jobs, churn and quiet in turns`,
      unit: 'MiB',
      xLabel: 'minutes',
      series: [
        { name: 'resident', points },
        { name: 'least squares, without warm-up', points: fitted },
      ],
    }),
  };
}

/** Writes at rest are a miss however short it was; all is well only after its whole time. */
function verdictOf(soaked: Soaked, writes: number, growth: Growth | null, quick: boolean): Verdict {
  if (quick) return 'undecided';
  if (writes > 0) return 'missed';
  if (soaked.ended !== null || growth === null) return 'undecided';
  return growth.verdict;
}
