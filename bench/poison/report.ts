import type { CpuUse } from '../lab/index.ts';
import { barChart } from '../plot.ts';
import type { BenchResult } from '../result.ts';
import { quantile, ratioText, rounded, roundedRatio } from '../statistics.ts';
import type { Measured } from './measure.ts';
import type { Pair } from './pairs.ts';

interface ResultOptions {
  readonly jobs: number;
  readonly pairs: number;
  readonly quick: boolean;
}

/** An edit of a healthy job while very many others begin to fail: faults.md, row 22. */
const ONSET_LIMIT_MS = 5_000;

const ms = (values: readonly number[], q: number): string => `${quantile(values, q).toFixed(1)} ms`;
const MiB = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
const uses = (cpu: CpuUse): string =>
  Object.entries(cpu)
    .map(([name, seconds]) => `${name} ${seconds.toFixed(1)}`)
    .join(', ');
const roundedUse = (cpu: CpuUse): CpuUse =>
  Object.fromEntries(Object.entries(cpu).map(([name, seconds]) => [name, rounded(seconds, 2)]));
const all = (pairs: readonly Pair[], side: keyof Pair): number[] => pairs.flatMap((pair) => pair[side]);

/** What was measured with one share of bad jobs, in lines. */
export function lines({ share, bad, pairs, p50, p99, limit, verdict: told, onsetMs, ...rest }: Measured): string {
  const [over, under] = [all(pairs, 'over'), all(pairs, 'under')];
  const kinds = Object.entries(bad).map(([kind, count]) => `${count} ${kind}`);
  return (
    `${share * 100} % bad: ${kinds.join(', ')}\n` +
    `  healthy edits, all well       p50 ${ms(under, 0.5)}, p99 ${ms(under, 0.99)}, max ${ms(under, 1)} (${under.length})\n` +
    `  healthy edits, bad ones       p50 ${ms(over, 0.5)}, p99 ${ms(over, 0.99)}, max ${ms(over, 1)} (${over.length})\n` +
    `  with against without          p50 ${ratioText(p50)}, p99 ${ratioText(p99)}, limit ${limit}: ${told}\n` +
    `  as they turn bad, all at once p50 ${ms(onsetMs, 0.5)}, p99 ${ms(onsetMs, 0.99)}, max ${ms(onsetMs, 1)}\n` +
    `  longest a call hung           ${rest.longestHungMs === null ? 'none did' : `${(rest.longestHungMs / 1000).toFixed(1)} s`}\n` +
    `  writes undone by somebody     ${rest.undone}\n` +
    `  resident                      ${MiB(rest.rss.good)} all well, ${MiB(rest.rss.bad)} with bad ones\n` +
    `  CPU seconds a minute          ${uses(rest.cpu.good)} all well; ${uses(rest.cpu.bad)} with bad ones\n`
  );
}

/** The last line. */
export function result(options: ResultOptions, measured: readonly Measured[]): BenchResult {
  const worst = [...measured].sort((a, b) => b.p99.value / b.limit - a.p99.value / a.limit)[0];
  if (!worst) throw new Error('nothing was measured: name at least one share');
  const verdicts = measured.map((it) => it.verdict);
  const overall = verdicts.includes('missed') ? 'missed' : verdicts.includes('undecided') ? 'undecided' : 'met';
  return {
    bench: 'poison',
    jobs: options.jobs,
    value: rounded(worst.p99.value, 2),
    unit: `times the p99 without bad jobs, at ${worst.share * 100} % bad`,
    target: worst.limit,
    met: options.quick || overall === 'met',
    verdict: options.quick ? 'undecided' : overall,
    shares: measured.map((it) => ({
      share: it.share,
      bad: it.bad,
      limit: it.limit,
      verdict: it.verdict,
      p50: roundedRatio(it.p50),
      p99: roundedRatio(it.p99),
      healthyP99Ms: {
        without: rounded(quantile(all(it.pairs, 'under'), 0.99), 2),
        with: rounded(quantile(all(it.pairs, 'over'), 0.99), 2),
      },
      onset: { maxMs: rounded(Math.max(...it.onsetMs), 0), limitMs: ONSET_LIMIT_MS },
      longestHungMs: it.longestHungMs === null ? null : rounded(it.longestHungMs, 0),
      undone: it.undone,
      rssMiB: { good: rounded(it.rss.good / 2 ** 20, 0), bad: rounded(it.rss.bad / 2 ** 20, 0) },
      cpuSecondsPerMinute: { good: roundedUse(it.cpu.good), bad: roundedUse(it.cpu.bad) },
    })),
    pairs: options.pairs,
    samplesEach: measured.map((it) => all(it.pairs, 'over').length),
    quick: options.quick,
    plot: barChart({
      title: 'Edits of healthy jobs, p99',
      unit: 'ms until seen',
      groups: measured.map(({ share }) => `${share * 100} % bad`),
      series: [
        { name: 'all well', values: measured.map(({ pairs }) => quantile(all(pairs, 'under'), 0.99)) },
        { name: 'with bad ones', values: measured.map(({ pairs }) => quantile(all(pairs, 'over'), 0.99)) },
        { name: 'as they turn bad', values: measured.map(({ onsetMs }) => quantile(onsetMs, 0.99)) },
      ],
    }),
  };
}
