import { barChart } from '../plot.ts';
import type { BenchResult } from '../result.ts';
import { quantile, type Ratio, ratioText, rounded, type Verdict, verdict } from '../statistics.ts';
import type { Heard } from './listen.ts';

export interface Row extends Heard {
  readonly contestant: 'bulkhead' | 'controller-runtime';
  readonly jobs: number;
  /** null for who has no database. */
  readonly queries: { readonly total: number; readonly byText: Readonly<Record<string, number>> } | null;
}

const CPU_LIMIT = 1.5;
/** Timers fall on one side of the window's edges or on the other. */
const QUERIES_LIMIT = 1.1;
const RESAMPLES = 2_000;

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const resampledMean = (values: readonly number[]): number =>
  mean(values.map(() => values[Math.floor(Math.random() * values.length)] ?? Number.NaN));

/** Of means, as seldom work (a relist, a collection of garbage) is none of the median's; the interval by bootstrap. */
function meanRatio(over: readonly number[], under: readonly number[]): Ratio {
  const ratios = Array.from({ length: RESAMPLES }, () => resampledMean(over) / resampledMean(under));
  return { value: mean(over) / mean(under), interval: [quantile(ratios, 0.025), quantile(ratios, 0.975)] };
}

const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);

function line({ contestant, jobs, cpuPerMinute, calls, loud, queries }: Row): string {
  const parts = [
    `${contestant}, ${jobs} jobs`.padEnd(34),
    `CPU ${mean(cpuPerMinute).toFixed(2).padStart(6)} s/min`,
    `calls ${String(sum(calls)).padStart(4)}, of them neither watch nor ping ${loud}`,
    ...(queries ? [`queries ${queries.total}`] : []),
  ];
  return `${parts.join('   ')}\n`;
}

function shownRatio(what: string, ratio: Ratio | null, of: Verdict | null, limit: number): string {
  return ratio && of ? `${what.padEnd(48)} ${ratioText(ratio)}: ${of} (≤ ${limit})\n` : '';
}

const plot = (rows: readonly Row[]): string =>
  barChart({
    title: 'Processor time of a converged operator',
    unit: 'seconds a minute',
    groups: rows.map(({ contestant, jobs }) => `${contestant}, ${jobs} jobs`),
    series: [{ name: 'mean', values: rows.map(({ cpuPerMinute }) => rounded(mean(cpuPerMinute))) }],
  });

/** Prints the table. @returns the last line */
export function report(rows: readonly Row[], seconds: number, quick: boolean): BenchResult {
  const ours = rows.filter(({ contestant }) => contestant === 'bulkhead');
  const [few, many] = [ours.length > 1 ? ours[0] : undefined, ours.at(-1)];
  const other = rows.find(({ contestant }) => contestant === 'controller-runtime');
  if (!many) throw new Error('Bulkhead was not listened to');
  const cpu = other ? meanRatio(many.cpuPerMinute, other.cpuPerMinute) : null;
  const queries = few?.queries && many.queries ? many.queries.total / few.queries.total : null;
  const verdicts = {
    calls: ours.every(({ loud }) => loud === 0) ? ('met' as const) : ('missed' as const),
    queries: queries === null ? null : queries <= QUERIES_LIMIT ? ('met' as const) : ('missed' as const),
    cpu: cpu && verdict(cpu, CPU_LIMIT),
  };
  const all = Object.values(verdicts).filter((one) => one !== null);
  const overall = all.includes('missed') ? 'missed' : all.includes('undecided') ? 'undecided' : 'met';
  for (const row of rows) process.stdout.write(line(row));
  for (const { jobs, calls, queries } of ours) {
    process.stdout.write(`  ${jobs} jobs: ${JSON.stringify(calls)} ${JSON.stringify(queries?.byText ?? {})}\n`);
  }
  process.stdout.write(
    shownRatio('CPU against controller-runtime, tuned', cpu, verdicts.cpu, CPU_LIMIT) +
      (queries === null ? '' : `queries, many jobs against few: ×${queries.toFixed(2)}: ${verdicts.queries}\n`) +
      `calls are watches and pings only: ${verdicts.calls}\n`,
  );
  return {
    bench: 'idle',
    jobs: many.jobs,
    value: rounded(cpu?.value ?? mean(many.cpuPerMinute)),
    unit: cpu ? 'times the CPU of controller-runtime, tuned' : 'CPU seconds a minute',
    target: CPU_LIMIT,
    met: quick || overall === 'met',
    verdict: quick ? 'none' : overall,
    verdicts,
    cpu: cpu && { value: rounded(cpu.value), interval: cpu.interval.map((x) => rounded(x)) },
    queriesManyToFew: queries,
    seconds,
    plot: plot(rows),
    rows: rows.map(({ contestant, jobs, cpuPerMinute, calls, loud, queries: asked }) => ({
      contestant,
      jobs,
      cpuSecondsPerMinute: rounded(mean(cpuPerMinute)),
      calls,
      loud,
      queries: asked,
    })),
  };
}
