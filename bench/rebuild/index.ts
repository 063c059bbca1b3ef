import { step } from '../../test/cluster/progress.ts';
import { benchPostgres, type Figures, freshLab, interleaved, type Lab, medians } from '../lab/index.ts';
import { barChart } from '../plot.ts';
import type { BenchResult } from '../result.ts';
import { medianRatio, quantile, type Ratio, ratioText, rounded, type Verdict, verdictAtLeast } from '../statistics.ts';
import { kopfCommand } from '../yardsticks/build.ts';
import { bulkheadTurn, controllerRuntime, operatorTurn, replayTurn } from './contestants.ts';
import { byTransport, inGo } from './replay.ts';
import { figuresOf, type Task, type Turn } from './turn.ts';

const NAMES = ['bulkhead', 'replay', 'transport', 'tuned', 'defaults', 'kopf'] as const;
type Name = (typeof NAMES)[number];

export interface RebuildOptions {
  /** How many jobs; several sizes one after the other show whether it is linear. */
  readonly sizes?: readonly number[];
  readonly jobs?: number;
  /** Turns of each contestant. */
  readonly pairs?: number;
  readonly only?: readonly string[];
  readonly tier?: 'namespace' | 'shared';
  /** With controllers and nodes that kwok plays: until all workers are ready. */
  readonly ready?: boolean;
  /** The replay's; without it several are tried, and the best is kept. */
  readonly concurrency?: number;
  readonly quick?: boolean;
  readonly save?: boolean;
}

const CONCURRENCIES = [8, 16, 32, 64];
const SWEEP_JOBS = 500;
const KOPF_JOBS = 200;
const QUICK_JOBS = 20;
const LIMITS = { replay: 0.9, tuned: 0.95 } as const;
/** Time a job at the largest size over that at the smallest. */
const LINEAR_LIMIT = 1.15;

interface Size {
  readonly jobs: number;
  readonly turns: Readonly<Partial<Record<Name, readonly Turn[]>>>;
}

/** Finds how many requests at once the replay does best with. */
async function bestConcurrency(lab: Lab, options: RebuildOptions, jobs: number): Promise<number> {
  if (options.concurrency) return options.concurrency;
  if (options.quick) return 16;
  const tried: { concurrency: number; rate: number }[] = [];
  for (const concurrency of CONCURRENCIES) {
    await lab.wipe();
    const task = taskOf(lab, options, Math.min(jobs, SWEEP_JOBS));
    tried.push({ concurrency, rate: (await replayTurn(task, concurrency, await inGo())).writesPerSecond });
  }
  process.stdout.write(
    `replay, requests at once: ${tried.map(({ concurrency, rate }) => `${concurrency}: ${rate.toFixed(0)}/s`).join(', ')}\n`,
  );
  return tried.reduce((a, b) => (b.rate > a.rate ? b : a)).concurrency;
}

const taskOf = (lab: Lab, { tier = 'namespace', ready = false }: RebuildOptions, jobs: number): Task => ({
  lab,
  jobs,
  tier,
  ready,
});

function wantedNames({ only, tier, quick }: RebuildOptions): readonly Name[] {
  const unknown = only?.find((name) => !NAMES.some((known) => known === name));
  if (unknown !== undefined) throw new Error(`${unknown} does not rebuild; there are: ${NAMES.join(', ')}`);
  if (only && only.length > 0) return NAMES.filter((name) => only.includes(name));
  return quick || tier === 'shared' ? ['bulkhead', 'replay'] : NAMES;
}

/** kopf is slow, and has its few jobs at one size alone. */
const namesFor = (options: RebuildOptions, isFirst: boolean): readonly Name[] =>
  wantedNames(options).filter((name) => isFirst || name !== 'kopf');

/** The turns of all contestants for one size, each on an etcd of its own. */
async function measure(
  lab: Lab,
  options: RebuildOptions,
  jobs: number,
  concurrency: number,
  isFirst: boolean,
): Promise<Size> {
  await using postgres = await benchPostgres(`rebuild-${jobs}`);
  const task = taskOf(lab, options, jobs);
  const small = { ...task, jobs: Math.min(KOPF_JOBS, jobs) };
  const all: Record<Name, () => Promise<Turn>> = {
    bulkhead: () => bulkheadTurn(task, postgres),
    replay: async () => replayTurn(task, concurrency, await inGo()),
    transport: async () => replayTurn(task, concurrency, await byTransport()),
    tuned: () => controllerRuntime(task, '--tuned'),
    defaults: () => controllerRuntime(task),
    kopf: async () => operatorTurn(small, 'kopf', await kopfCommand(lab.kubeconfigOf('kopf'))),
  };
  // Nobody has used it yet, unless the replay tried how much it can do at once.
  let isFresh = isFirst && (options.quick || options.concurrency !== undefined);
  const contestants = Object.fromEntries(
    namesFor(options, isFirst).map((name) => [
      name,
      async () => {
        if (!isFresh) await lab.wipe();
        isFresh = false;
        return await step(`${name}, ${name === 'kopf' ? small.jobs : jobs} jobs`, all[name]);
      },
    ]),
  ) as Record<Name, () => Promise<Turn>>;
  return { jobs, turns: await interleaved(options.quick ? 1 : (options.pairs ?? 3), contestants) };
}

const perSecond = (jobs: number, turns: readonly Turn[], of: 'seconds' | 'writingSeconds' | 'readySeconds'): number[] =>
  turns.flatMap((turn) => jobs / (turn[of] ?? Number.NaN)).filter((rate) => !Number.isNaN(rate));

interface Comparison {
  readonly jobs: number;
  readonly against: 'replay' | 'tuned';
  readonly what: 'seconds' | 'writingSeconds' | 'readySeconds';
  readonly ratio: Ratio;
  readonly limit: number;
  readonly verdict: Verdict;
}

function comparisons({ jobs, turns }: Size): Comparison[] {
  const ours = turns.bulkhead ?? [];
  return (['replay', 'tuned'] as const).flatMap((against) =>
    (['seconds', 'writingSeconds', 'readySeconds'] as const).flatMap((what) => {
      const [over, under] = [perSecond(jobs, ours, what), perSecond(jobs, turns[against] ?? [], what)];
      if (over.length === 0 || under.length === 0) return [];
      const ratio = medianRatio(over, under);
      return { jobs, against, what, ratio, limit: LIMITS[against], verdict: verdictAtLeast(ratio, LIMITS[against]) };
    }),
  );
}

/** How much longer a job takes at the largest size than at the smallest; null with a single size. */
function growth(sizes: readonly Size[]): number | null {
  const timed = sizes.flatMap(({ jobs, turns }) => {
    const median = medians((turns.bulkhead ?? []).map(figuresOf)).writingSeconds;
    return median === undefined ? [] : { jobs, secondsAJob: median / jobs };
  });
  const [first, last] = [timed[0], timed.at(-1)];
  return first && last && first !== last ? last.secondsAJob / first.secondsAJob : null;
}

/** Where there is no replay to be held against: jobs a second, 0 when Bulkhead took no part. */
function ownSpeed(sizes: readonly Size[]): number {
  const last = sizes.at(-1);
  return rounded(quantile(last ? perSecond(last.jobs, last.turns.bulkhead ?? [], 'seconds') : [], 0.5) || 0);
}

const TEXTS = { seconds: 'from the start', writingSeconds: 'while writing', readySeconds: 'until ready' } as const;

function print(sizes: readonly Size[], compared: readonly Comparison[], grown: number | null): void {
  const lines = sizes.flatMap(({ jobs, turns }) => [
    '',
    `${jobs} jobs     start s  writing s  total s  ready s  jobs/s  writes/s   CPU ms a write`,
    ...Object.entries(turns).map(([name, some]) => row(name, medians(some.map(figuresOf)))),
  ]);
  for (const { jobs, against, what, ratio, limit, verdict } of compared) {
    lines.push(`${jobs} jobs ${TEXTS[what]}, against ${against}: ${ratioText(ratio)}, target ≥ ${limit}: ${verdict}`);
  }
  if (grown !== null)
    lines.push(`a job of the most against one of the fewest: ×${grown.toFixed(2)}, target ≤ ${LINEAR_LIMIT}`);
  process.stdout.write(`${lines.join('\n')}\n`);
}

function row(name: string, figures: Figures): string {
  const cell = (figure: string, width: number, digits = 1): string =>
    (figures[figure] === undefined ? '–' : figures[figure].toFixed(digits)).padStart(width);
  const cpu = Object.entries(figures)
    .filter(([figure]) => figure.startsWith('cpuMs '))
    .map(([figure, ms]) => `${figure.slice('cpuMs '.length)} ${ms.toFixed(2)}`);
  return `${name.padEnd(10)}${cell('startSeconds', 9)}${cell('writingSeconds', 11)}${cell('seconds', 9)}${cell('readySeconds', 9)}${cell('jobsPerSecond', 8)}${cell('writesPerSecond', 10, 0)}   ${cpu.join(', ')}`;
}

/** How fast a lost cluster is back: from the start of the process to the last object, against the API server's limit. */
export async function rebuild(options: RebuildOptions): Promise<BenchResult> {
  const sizes = options.quick ? [QUICK_JOBS] : (options.sizes ?? [options.jobs ?? 1_000]);
  await using lab = await freshLab('bench-rebuild', { controllers: options.ready ?? false });
  const concurrency = wantedNames(options).includes('replay') ? await bestConcurrency(lab, options, sizes[0] ?? 0) : 0;
  const measured: Size[] = [];
  for (const jobs of sizes) measured.push(await measure(lab, options, jobs, concurrency, measured.length === 0));

  const compared = measured.flatMap(comparisons);
  const grown = growth(measured);
  // A smoke run judges nothing.
  print(measured, options.quick ? [] : compared, grown);
  const decisive = compared.filter(({ what }) => what === (options.ready ? 'readySeconds' : 'seconds'));
  const value = Math.min(...decisive.filter(({ against }) => against === 'replay').map(({ ratio }) => ratio.value));
  const verdicts = decisive.map(({ verdict }) => verdict);
  const isLinear = grown === null || grown <= LINEAR_LIMIT;
  const overall: Verdict =
    verdicts.includes('missed') || !isLinear ? 'missed' : (verdicts.find((v) => v !== 'met') ?? 'met');
  return {
    bench: options.ready ? 'rebuild-ready' : options.tier === 'shared' ? 'rebuild-shared' : 'rebuild',
    jobs: sizes.at(-1) ?? 0,
    ...(Number.isFinite(value)
      ? {
          value: rounded(value),
          unit: 'of the jobs a second that the replay makes, both from the start of the process',
          target: LIMITS.replay,
        }
      : { value: ownSpeed(measured), unit: 'jobs a second, from the start of the process', target: 0 }),
    // A smoke run, and one without the yardsticks, has nothing to miss.
    met: options.quick || decisive.length === 0 || overall === 'met',
    verdict: options.quick || decisive.length === 0 ? 'undecided' : overall,
    comparisons: compared.map(({ ratio, ...rest }) => ({
      ...rest,
      ratio: rounded(ratio.value),
      interval: ratio.interval.map((x) => rounded(x)),
    })),
    growth: grown === null ? null : rounded(grown),
    noise: { spread: spreads(measured) },
    replayConcurrency: concurrency,
    sizes: measured.map(({ jobs, turns }) => ({
      jobs,
      medians: Object.fromEntries(Object.entries(turns).map(([name, some]) => [name, medians(some.map(figuresOf))])),
      turns,
    })),
    plot: plotOf(measured, options),
  };
}

/** How far the turns of each contestant lie apart, of their median. */
const spreads = (sizes: readonly Size[]) =>
  sizes.map(({ jobs, turns }) => ({
    jobs,
    ...Object.fromEntries(
      Object.entries(turns).map(([name, some]) => {
        const seconds = some.map((turn) => turn.seconds);
        return [name, rounded((Math.max(...seconds) - Math.min(...seconds)) / quantile(seconds, 0.5))];
      }),
    ),
  }));

function plotOf(sizes: readonly Size[], { ready }: RebuildOptions): string {
  // kopf had other jobs: its bar would lie.
  const names = NAMES.filter((name) => name !== 'kopf' && sizes.some(({ turns }) => turns[name]));
  return barChart({
    title: ready ? 'Until all workers are ready' : 'From an empty cluster to the last object',
    unit: 'seconds',
    groups: sizes.map(({ jobs }) => `${jobs.toLocaleString('en')} jobs`),
    series: names.map((name) => ({
      name,
      values: sizes.map(({ turns }) => {
        const of = medians((turns[name] ?? []).map(figuresOf));
        return (ready ? of.readySeconds : of.seconds) ?? null;
      }),
    })),
  });
}
