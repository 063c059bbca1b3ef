import { note, step } from '../../test/cluster/progress.ts';
import { rssBytes } from '../lab/index.ts';
import { barChart } from '../plot.ts';
import type { BenchResult } from '../result.ts';
import { quantile, type Ratio, rounded, roundedRatio, type Verdict, verdict } from '../statistics.ts';
import { KINDS, type Kind } from './bad-jobs.ts';
import { type Pair, pairedRatio } from './pairs.ts';
import { makeWorld, type World } from './world.ts';

export interface PoisonOptions {
  /** By default 300. */
  readonly jobs?: number;
  /** Which shares of the jobs are bad, each for itself; by default 1, 10 and 50 %. */
  readonly shares?: readonly number[];
  /** In equal parts; by default all. */
  readonly kinds?: readonly Kind[];
  /** By default 10. */
  readonly pairs?: number;
  readonly quick?: boolean;
}

type Options = Required<PoisonOptions>;

const DEFAULTS: Options = { jobs: 300, shares: [0.01, 0.1, 0.5], kinds: KINDS, pairs: 10, quick: false };

interface Timing {
  /** Edits of healthy jobs a second, in all phases: about a tenth of what the API server can do. */
  readonly perSecond: number;
  /** After jobs turned bad: longer than a hung call's time-out, so that what follows is how it goes on. */
  readonly onsetMs: number;
  readonly recoveryMs: number;
  readonly measuredMs: number;
}

const TIMING: Timing = { perSecond: 10, onsetMs: 12_000, recoveryMs: 4_000, measuredMs: 6_000 };
const QUICK: Timing = { perSecond: 10, onsetMs: 1_500, recoveryMs: 500, measuredMs: 1_500 };
const QUICK_SIZE: PoisonOptions = { jobs: 24, shares: [0.5], pairs: 1 };
/** Up to a tenth of the jobs, and beyond. */
const [FEW, LIMIT_FEW, LIMIT_MANY] = [0.1, 1.1, 1.3];
/** An edit of a healthy job while very many others begin to fail: faults.md, row 22. */
const ONSET_LIMIT_MS = 5_000;

const limitOf = (share: number): number => (share <= FEW ? LIMIT_FEW : LIMIT_MANY);

interface Phase {
  readonly healthyMs: readonly number[];
  readonly rss: number;
}

interface Measured {
  readonly share: number;
  readonly bad: Readonly<Record<string, number>>;
  readonly pairs: readonly Pair[];
  readonly p50: Ratio;
  readonly p99: Ratio;
  readonly limit: number;
  readonly verdict: Verdict;
  /** Healthy edits in the seconds after all bad jobs turned bad at once. */
  readonly onsetMs: readonly number[];
  /** How long the client waited for an answer that never came, at the most; null where no call hung. */
  readonly longestHungMs: number | null;
  readonly undone: number;
  readonly rss: { readonly good: number; readonly bad: number };
}

const median = (values: readonly number[]): number => quantile(values, 0.5);

async function measure(world: World, share: number, options: Options, timing: Timing): Promise<Measured> {
  const { operator, proxy, undoer } = world;
  const count = Math.max(1, Math.round(options.jobs * share));
  const bad = world.badJobs(count, options.kinds);
  const edits = world.edits(count);
  const [hungBefore, undoneBefore] = [proxy.patienceMs.length, undoer.writes];
  const onsetMs: number[] = [];
  const phase = async (beforeMs: number): Promise<Phase & { readonly beforeMs: readonly number[] }> => {
    const before = await edits.during(beforeMs, timing.perSecond);
    const healthyMs = await edits.during(timing.measuredMs, timing.perSecond);
    operator.requireAlive();
    return { beforeMs: before, healthyMs, rss: rssBytes(operator.pid) };
  };
  const turns = {
    under: () => phase(timing.recoveryMs),
    over: async () => {
      await bad.turnBad();
      const measured = await phase(timing.onsetMs);
      onsetMs.push(...measured.beforeMs);
      await bad.turnGood();
      return measured;
    },
  };
  const pairs: { over: Phase; under: Phase }[] = [];
  for (let i = 0; i < options.pairs; i += 1) {
    if (i % 2 === 0) {
      const under = await turns.under();
      pairs.push({ under, over: await turns.over() });
    } else {
      const over = await turns.over();
      pairs.push({ over, under: await turns.under() });
    }
    note(`  pair ${i + 1} of ${options.pairs} at ${share * 100} %`);
  }
  const both: Pair[] = pairs.map(({ over, under }) => ({ over: over.healthyMs, under: under.healthyMs }));
  const p99 = pairedRatio(both, 0.99);
  const hung = proxy.patienceMs.slice(hungBefore);
  return {
    share,
    bad: bad.counts,
    pairs: both,
    p50: pairedRatio(both, 0.5),
    p99,
    limit: limitOf(share),
    verdict: verdict(p99, limitOf(share)),
    onsetMs,
    longestHungMs: hung.length > 0 ? Math.max(...hung) : null,
    undone: undoer.writes - undoneBefore,
    rss: { good: median(pairs.map(({ under }) => under.rss)), bad: median(pairs.map(({ over }) => over.rss)) },
  };
}

/** Whether bad jobs cost healthy ones anything: an edit of a healthy job until an independent watcher sees it. */
export async function poison(given: PoisonOptions): Promise<BenchResult> {
  const options = { ...DEFAULTS, ...given, ...(given.quick && QUICK_SIZE) };
  const timing = given.quick ? QUICK : TIMING;
  await using world = await makeWorld(options.jobs);
  const typicalMs = options.pairs * (timing.onsetMs + timing.recoveryMs + 2 * timing.measuredMs);
  const measured: Measured[] = [];
  for (const share of options.shares) {
    const text = `Timing edits of healthy jobs, ${share * 100} % of ${options.jobs} bad by turns`;
    measured.push(
      await step(text, () => measure(world, share, options, timing), {
        typical: `${Math.round(typicalMs / 1000)} s`,
      }),
    );
  }
  process.stdout.write(measured.map(lines).join('\n'));
  return result(options, measured);
}

const ms = (values: readonly number[], q: number): string => `${quantile(values, q).toFixed(1)} ms`;
const MiB = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
const times = ({ value, interval: [low, high] }: Ratio): string =>
  `×${value.toFixed(2)} (95 %: ${low.toFixed(2)}–${high.toFixed(2)})`;
const all = (pairs: readonly Pair[], side: keyof Pair): number[] => pairs.flatMap((pair) => pair[side]);

function lines({ share, bad, pairs, p50, p99, limit, verdict: told, onsetMs, ...rest }: Measured): string {
  const [over, under] = [all(pairs, 'over'), all(pairs, 'under')];
  const kinds = Object.entries(bad).map(([kind, count]) => `${count} ${kind}`);
  return (
    `${share * 100} % bad: ${kinds.join(', ')}\n` +
    `  healthy edits, all well       p50 ${ms(under, 0.5)}, p99 ${ms(under, 0.99)}, max ${ms(under, 1)} (${under.length})\n` +
    `  healthy edits, bad ones       p50 ${ms(over, 0.5)}, p99 ${ms(over, 0.99)}, max ${ms(over, 1)} (${over.length})\n` +
    `  with against without          p50 ${times(p50)}, p99 ${times(p99)}, limit ${limit}: ${told}\n` +
    `  as they turn bad, all at once p50 ${ms(onsetMs, 0.5)}, p99 ${ms(onsetMs, 0.99)}, max ${ms(onsetMs, 1)}\n` +
    `  longest a call hung           ${rest.longestHungMs === null ? 'none did' : `${(rest.longestHungMs / 1000).toFixed(1)} s`}\n` +
    `  writes undone by somebody     ${rest.undone}\n` +
    `  resident                      ${MiB(rest.rss.good)} all well, ${MiB(rest.rss.bad)} with bad ones\n`
  );
}

function result(options: Options, measured: readonly Measured[]): BenchResult {
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
