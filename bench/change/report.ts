import { barChart } from '../plot.ts';
import type { BenchResult } from '../result.ts';
import { quantile, quantileRatio, type Ratio, ratioText, type Verdict, verdict } from '../statistics.ts';
import type { ChangeMeasure } from './index.ts';
import type { Parts } from './parts.ts';

export interface Measured {
  readonly jobs: number;
  /** From commit to seen, in milliseconds. */
  readonly bulkhead: readonly number[];
  readonly baseline: readonly number[];
  readonly parts: readonly Parts[];
  readonly filledMs: number;
}

const P50_LIMIT = 1.5;
const P99_LIMIT = 1.2;
const PARTS = ['firstWriteMs', 'deploymentWriteMs', 'handledMs', 'deliveredMs', 'writes'] as const;
const PART_NAMES: Readonly<Record<(typeof PARTS)[number], string>> = {
  firstWriteMs: 'commit → first write',
  deploymentWriteMs: 'first write → the Deployment’s',
  handledMs: 'in the API server',
  deliveredMs: 'answered → seen',
  writes: 'writes an edit',
};

const round = (value: number, digits = 2): number => Number(value.toFixed(digits));
const rounded = ({ value, interval }: Ratio) => ({ value: round(value), interval: interval.map((x) => round(x)) });
const ms = (of: readonly number[], q: number): string => quantile(of, q).toFixed(2).padStart(7);

function latencyLine(what: string, jobs: number, of: readonly number[]): string {
  return `${`${what} among ${jobs} jobs`.padEnd(34)} p50 ${ms(of, 0.5)} ms, p99 ${ms(of, 0.99)} ms\n`;
}

const partMedians = (parts: readonly Parts[]): Record<(typeof PARTS)[number], number> =>
  Object.fromEntries(
    PARTS.map((part) => [
      part,
      round(
        quantile(
          parts.map((one) => one[part]),
          0.5,
        ),
      ),
    ]),
  ) as Record<(typeof PARTS)[number], number>;

const figures = ({ jobs, bulkhead, baseline, parts, filledMs }: Measured) => ({
  jobs,
  p50Ms: round(quantile(bulkhead, 0.5)),
  p99Ms: round(quantile(bulkhead, 0.99)),
  baselineP50Ms: round(quantile(baseline, 0.5)),
  baselineP99Ms: round(quantile(baseline, 0.99)),
  partsP50: partMedians(parts),
  filledSeconds: round(filledMs / 1000, 1),
});

const QUANTILES = [0.5, 0.9, 0.99] as const;

const plot = (few: Measured, many: Measured): string =>
  barChart({
    title: 'From the commit of an edit until a watcher sees the Deployment change',
    unit: 'ms',
    groups: [few, many].flatMap(({ jobs }) => QUANTILES.map((q) => `p${q * 100}, ${jobs} jobs`)),
    series: (['bulkhead', 'baseline'] as const).map((name) => ({
      name: name === 'bulkhead' ? 'Bulkhead' : 'NOTIFY + one PUT',
      values: [few, many].flatMap((one) => QUANTILES.map((q) => round(quantile(one[name], q), 1))),
    })),
  });

/** The worse of several. */
function worst(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.includes('missed')) return 'missed';
  return verdicts.includes('undecided') ? 'undecided' : 'met';
}

/** Prints the table. @param sites the small one first; one alone stands for both @returns the last line */
export function report(sites: readonly Measured[], options: ChangeMeasure): BenchResult {
  const [few, many = few] = sites;
  if (!few || !many) throw new Error('there is no site');
  const ratios = {
    p50Few: quantileRatio(few.bulkhead, few.baseline, 0.5),
    p50Many: quantileRatio(many.bulkhead, many.baseline, 0.5),
    p99: quantileRatio(many.bulkhead, few.bulkhead, 0.99),
    baselineP99: quantileRatio(many.baseline, few.baseline, 0.99),
  };
  const verdicts = {
    p50Few: verdict(ratios.p50Few, P50_LIMIT),
    p50Many: verdict(ratios.p50Many, P50_LIMIT),
    p99: verdict(ratios.p99, P99_LIMIT),
  };
  const overall = worst(Object.values(verdicts));
  process.stdout.write(
    sites
      .map(
        (one) =>
          latencyLine('Bulkhead', one.jobs, one.bulkhead) + latencyLine('NOTIFY + one PUT', one.jobs, one.baseline),
      )
      .join(''),
  );
  for (const part of PARTS) {
    const of = sites.map(({ parts }) => String(partMedians(parts)[part]).padStart(7));
    const unit = part === 'writes' ? '' : ' ms';
    process.stdout.write(`  p50 of ${PART_NAMES[part].padEnd(31)} ${of.join(`${unit}, `)}${unit}\n`);
  }
  process.stdout.write(
    `p50 against NOTIFY + one PUT, ${few.jobs} jobs   ${ratioText(ratios.p50Few)}: ${verdicts.p50Few} (≤ ${P50_LIMIT})\n` +
      `p50 against NOTIFY + one PUT, ${many.jobs} jobs   ${ratioText(ratios.p50Many)}: ${verdicts.p50Many} (≤ ${P50_LIMIT})\n` +
      `p99 among ${many.jobs} against ${few.jobs} jobs   ${ratioText(ratios.p99)}: ${verdicts.p99} (≤ ${P99_LIMIT})\n` +
      `  the same of NOTIFY + one PUT   ${ratioText(ratios.baselineP99)}\n`,
  );
  return {
    bench: 'change',
    jobs: many.jobs,
    value: round(ratios.p50Many.value),
    unit: 'times NOTIFY + one PUT, p50 of commit to seen',
    target: P50_LIMIT,
    met: options.quick || overall === 'met',
    verdict: options.quick ? 'none' : overall,
    verdicts,
    p50Few: rounded(ratios.p50Few),
    p50Many: rounded(ratios.p50Many),
    p99: { ...rounded(ratios.p99), target: P99_LIMIT },
    baselineP99: rounded(ratios.baselineP99),
    few: figures(few),
    many: figures(many),
    samples: few.bulkhead.length,
    edit: options.edit,
    tier: options.tier,
    fsync: true,
    plot: plot(few, many),
  };
}
