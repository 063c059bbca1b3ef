import { note, step } from '../../test/cluster/progress.ts';
import { benchPostgres, freshLab, ObjectWatcher, WATCHED } from '../lab/index.ts';
import { barChart } from '../plot.ts';
import type { BenchResult } from '../result.ts';
import { quantile, quantileRatio, type Ratio, rounded, type Verdict, verdict } from '../statistics.ts';
import { BulkheadDuo } from './bulkhead.ts';
import { ControllerRuntimeDuo } from './controller-runtime.ts';
import type { Duo } from './duo.ts';

export interface TakeoverOptions {
  /** By default 40. */
  readonly jobs?: number;
  /** How often each of the two loses a replica, in each way; by default 5 times. */
  readonly repetitions?: number;
  readonly quick?: boolean;
}

const SIGNALS = ['SIGKILL', 'SIGSTOP'] as const;
type Signal = (typeof SIGNALS)[number];
const NAMES: Readonly<Record<Signal, string>> = { SIGKILL: 'kill -9', SIGSTOP: 'SIGSTOP' };
const LIMIT = 0.5;
const QUICK: TakeoverOptions = { jobs: 12, repetitions: 1 };

type Times = Record<Signal, number[]>;

interface Compared {
  readonly signal: Signal;
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  readonly ratio: Ratio;
  readonly verdict: Verdict;
}

const seconds = (values: readonly number[], q = 0.5): string => `${(quantile(values, q) / 1000).toFixed(1)} s`;

async function measure(duos: Readonly<Record<string, Duo>>, signals: readonly Signal[], repetitions: number) {
  const names = Object.keys(duos);
  let left = repetitions * signals.length;
  const times = new Map<string, Times>(names.map((name) => [name, { SIGKILL: [], SIGSTOP: [] }]));
  for (let i = 0; i < repetitions; i += 1) {
    for (const signal of signals) {
      left -= 1;
      for (const name of i % 2 === 0 ? names : names.toReversed()) {
        const tookMs = (await duos[name]?.lose(signal, left > 0)) ?? Number.NaN;
        times.get(name)?.[signal].push(tookMs);
        note(`  ${i + 1} of ${repetitions}, ${NAMES[signal]}: ${name} ${seconds([tookMs])}`);
      }
    }
  }
  return times;
}

/** How long after the loss of the replica that acts its survivor makes the first right write. */
export async function takeover(options: TakeoverOptions): Promise<BenchResult> {
  const { jobs = 40, repetitions = 5 } = options.quick ? QUICK : options;
  const signals = options.quick ? (['SIGKILL'] as const) : SIGNALS;
  await using lab = await freshLab('bench-takeover', { controllers: false });
  await using postgres = await benchPostgres('takeover');
  await using database = await postgres.database();
  await using watcher = await ObjectWatcher.open(lab, { kinds: [WATCHED.deployments] });
  await using ours = await BulkheadDuo.start(lab, database, watcher, jobs);
  await using theirs = options.quick ? null : await ControllerRuntimeDuo.start(lab, watcher, jobs);
  const duos = { bulkhead: ours, ...(theirs && { 'controller-runtime': theirs }) };
  const times = await step(
    `Losing a replica ${repetitions * signals.length} times`,
    () => measure(duos, signals, repetitions),
    { typical: options.quick ? '10 s' : `${repetitions * signals.length * 35} s` },
  );
  const own = times.get('bulkhead');
  const other = times.get('controller-runtime');
  if (!own) throw new Error('nothing was measured');
  if (!other) return quickResult(jobs, own);
  const compared = signals.map((signal) => compare(signal, own[signal], other[signal]));
  process.stdout.write(compared.map(line).join(''));
  return result(jobs, repetitions, compared);
}

function compare(signal: Signal, ours: readonly number[], theirs: readonly number[]): Compared {
  const ratio = quantileRatio(ours, theirs, 0.5);
  return { signal, ours, theirs, ratio, verdict: verdict(ratio, LIMIT) };
}

const line = ({ signal, ours, theirs, ratio: { value, interval }, verdict: told }: Compared): string =>
  `${NAMES[signal].padEnd(8)}  Bulkhead ${seconds(ours)} (${seconds(ours, 0)}–${seconds(ours, 1)}), ` +
  `controller-runtime ${seconds(theirs)} (${seconds(theirs, 0)}–${seconds(theirs, 1)}), ` +
  `×${value.toFixed(2)} (95 %: ${interval.map((x) => x.toFixed(2)).join('–')}), limit ${LIMIT}: ${told}\n`;

const inSeconds = (values: readonly number[]) => values.map((value) => rounded(value / 1000, 2));

function result(jobs: number, repetitions: number, compared: readonly Compared[]): BenchResult {
  const verdicts = compared.map((it) => it.verdict);
  const overall = verdicts.includes('missed') ? 'missed' : verdicts.includes('undecided') ? 'undecided' : 'met';
  return {
    bench: 'takeover',
    jobs,
    value: rounded(Math.max(...compared.map(({ ratio }) => ratio.value)), 2),
    unit: 'times a Lease peer at its defaults (15/10/2 s), medians',
    target: LIMIT,
    met: overall === 'met',
    verdict: overall,
    faults: compared.map(({ signal, ours, theirs, ratio, verdict: told }) => ({
      fault: NAMES[signal],
      bulkheadSeconds: inSeconds(ours),
      controllerRuntimeSeconds: inSeconds(theirs),
      ratio: rounded(ratio.value, 2),
      interval: ratio.interval.map((x) => rounded(x, 2)),
      verdict: told,
    })),
    repetitions,
    plot: barChart({
      title: 'From the loss of a replica to its successor’s first right write',
      unit: 's, medians',
      groups: compared.map(({ signal }) => NAMES[signal]),
      series: [
        { name: 'Bulkhead', values: compared.map(({ ours }) => quantile(ours, 0.5) / 1000) },
        {
          name: 'controller-runtime, Lease 15/10/2',
          values: compared.map(({ theirs }) => quantile(theirs, 0.5) / 1000),
        },
      ],
    }),
  };
}

function quickResult(jobs: number, own: Times): BenchResult {
  process.stdout.write(
    `kill -9  Bulkhead ${seconds(own.SIGKILL)}; without the yardstick there is nothing to compare\n`,
  );
  return {
    bench: 'takeover',
    jobs,
    value: rounded(quantile(own.SIGKILL, 0.5) / 1000, 2),
    unit: 'seconds, once, without the yardstick',
    target: LIMIT,
    met: true,
    verdict: 'undecided',
    quick: true,
  };
}
