import { CELL_KIND_NAMES, type CellKind } from '../../src/plan/objects.ts';
import { barChart } from '../plot.ts';
import type { BenchResult } from '../result.ts';
import { quantile, quantileRatio, type Ratio, ratioText, rounded, type Verdict, verdict } from '../statistics.ts';
import type { HealMeasure, Turn } from './index.ts';

/** One part that was deleted and came again. */
export interface Healed {
  readonly kind: CellKind;
  readonly ms: number;
}

const LIMIT = 1.3;

/** What is compared: the parts of a cell, namespaces (made again after their end), parts while watches are reconnected. */
const GROUPS = ['parts', 'namespaces', 'reconnecting'] as const;
type Group = (typeof GROUPS)[number];
type Times = Readonly<Record<Group, readonly number[]>>;

const isNamespace = ({ kind }: Healed): boolean => kind === 'Namespace';
const msOf = (healed: readonly Healed[]): number[] => healed.map(({ ms }) => ms);

function timesOf(turns: readonly Turn[]): Times {
  const steady = turns.flatMap((turn) => turn.steady);
  return {
    parts: msOf(steady.filter((one) => !isNamespace(one))),
    namespaces: msOf(steady.filter(isNamespace)),
    reconnecting: msOf(turns.flatMap((turn) => turn.reconnecting)),
  };
}

const figures = (of: readonly number[]) => ({
  count: of.length,
  p50Ms: rounded(quantile(of, 0.5), 2),
  p99Ms: rounded(quantile(of, 0.99), 2),
});

function byKind(turns: readonly Turn[]): Record<string, ReturnType<typeof figures>> {
  const steady = turns.flatMap((turn) => turn.steady);
  return Object.fromEntries(
    CELL_KIND_NAMES.map((kind) => [kind, figures(msOf(steady.filter((one) => one.kind === kind)))]),
  );
}

const cell = (of: { readonly p50Ms: number; readonly p99Ms: number }): string =>
  `p50 ${of.p50Ms.toFixed(1).padStart(7)} ms, p99 ${of.p99Ms.toFixed(1).padStart(7)} ms`;

function print(results: Readonly<Record<string, readonly Turn[]>>): void {
  for (const [name, turns] of Object.entries(results)) {
    process.stdout.write(`${name}\n`);
    for (const [kind, of] of Object.entries(byKind(turns)))
      process.stdout.write(`  ${kind.padEnd(21)} ${cell(of)} (${of.count})\n`);
    const times = timesOf(turns);
    for (const group of ['parts', 'reconnecting'] as const) {
      const title = group === 'parts' ? 'all but Namespace' : 'while reconnecting';
      process.stdout.write(`  ${title.padEnd(21)} ${cell(figures(times[group]))} (${times[group].length})\n`);
    }
  }
}

function compare(ours: Times, theirs: Times): Record<Group, { readonly ratio: Ratio; readonly verdict: Verdict }> {
  return Object.fromEntries(
    GROUPS.map((group) => {
      const ratio = quantileRatio(ours[group], theirs[group], 0.99);
      return [group, { ratio, verdict: verdict(ratio, LIMIT) }];
    }),
  ) as Record<Group, { readonly ratio: Ratio; readonly verdict: Verdict }>;
}

const SHORT: Partial<Record<CellKind, string>> = {
  ServiceAccount: 'Account',
  ResourceQuota: 'Quota',
  NetworkPolicy: 'Network',
  PodDisruptionBudget: 'Budget',
};

const plot = (results: Readonly<Record<string, readonly Turn[]>>): string =>
  barChart({
    title: 'A deleted child is back, by kind, p50',
    unit: 'ms',
    groups: CELL_KIND_NAMES.map((kind) => SHORT[kind] ?? kind),
    series: Object.entries(results).map(([name, turns]) => {
      const kinds = byKind(turns);
      return { name, values: CELL_KIND_NAMES.map((kind) => kinds[kind]?.p50Ms ?? null) };
    }),
  });

/** Prints the table. @returns the last line */
export function report(results: Readonly<Record<string, readonly Turn[]>>, options: HealMeasure): BenchResult {
  print(results);
  const ours = timesOf(results.bulkhead ?? []);
  const other = results['controller-runtime'];
  const compared = other ? compare(ours, timesOf(other)) : null;
  for (const [group, { ratio, verdict: of }] of Object.entries(compared ?? {})) {
    process.stdout.write(
      `p99 of ${group.padEnd(13)} against controller-runtime ${ratioText(ratio)}: ${of} (≤ ${LIMIT})\n`,
    );
  }
  const verdicts = Object.values(compared ?? {}).map((one) => one.verdict);
  const overall = verdicts.includes('missed') ? 'missed' : verdicts.includes('undecided') ? 'undecided' : 'met';
  const { quick, ...measured } = options;
  return {
    bench: 'heal',
    value: rounded(compared?.parts.ratio.value ?? quantile(ours.parts, 0.99)),
    unit: compared ? 'times controller-runtime, p99 of deleted to seen again' : 'ms, p99 of deleted to seen again',
    target: LIMIT,
    met: quick || overall === 'met',
    verdict: quick ? 'none' : overall,
    ratios: compared,
    plot: plot(results),
    contestants: Object.fromEntries(
      Object.entries(results).map(([name, turns]) => {
        const times = timesOf(turns);
        return [
          name,
          { byKind: byKind(turns), parts: figures(times.parts), reconnecting: figures(times.reconnecting) },
        ];
      }),
    ),
    ...measured,
  };
}
