import { note } from '../../test/cluster/progress.ts';
import { type CpuUse, rssBytes } from '../lab/index.ts';
import { quantile, type Ratio, type Verdict, verdict } from '../statistics.ts';
import type { Kind } from './bad-jobs.ts';
import { type Pair, pairedRatio } from './pairs.ts';
import type { World } from './world.ts';

export interface MeasureOptions {
  readonly jobs: number;
  /** In equal parts. */
  readonly kinds: readonly Kind[];
  readonly pairs: number;
  readonly timing: Timing;
}

export interface Timing {
  /** Edits of healthy jobs a second, in all phases: about a tenth of what the API server can do. */
  readonly perSecond: number;
  /** After jobs turned bad: longer than a hung call's time-out, so that what follows is how it goes on. */
  readonly onsetMs: number;
  readonly recoveryMs: number;
  readonly measuredMs: number;
}

export const TIMING: Timing = { perSecond: 10, onsetMs: 12_000, recoveryMs: 4_000, measuredMs: 6_000 };
export const QUICK_TIMING: Timing = { perSecond: 10, onsetMs: 1_500, recoveryMs: 500, measuredMs: 1_500 };
/** Up to a tenth of the jobs, and beyond. */
const [FEW, LIMIT_FEW, LIMIT_MANY] = [0.1, 1.1, 1.3];
const limitOf = (share: number): number => (share <= FEW ? LIMIT_FEW : LIMIT_MANY);

interface Phase {
  readonly healthyMs: readonly number[];
  readonly rss: number;
  /** Processor seconds while it was measured. */
  readonly cpu: CpuUse;
}

export interface Measured {
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
  /** Processor seconds a minute: why a healthy edit waits longer. */
  readonly cpu: { readonly good: CpuUse; readonly bad: CpuUse };
}

const medianRss = (phases: readonly Phase[]): number =>
  quantile(
    phases.map(({ rss }) => rss),
    0.5,
  );

/** Of phases that each measured for so long. */
function cpuAMinute(phases: readonly Phase[], measuredMs: number): CpuUse {
  const total = (name: string) => phases.reduce((sum, { cpu }) => sum + (cpu[name] ?? Number.NaN), 0);
  const names = Object.keys(phases[0]?.cpu ?? {});
  return Object.fromEntries(names.map((name) => [name, (total(name) / phases.length / measuredMs) * 60_000]));
}

/** Edits healthy jobs by turns with and without a share of bad ones. */
export async function measure(world: World, share: number, options: MeasureOptions): Promise<Measured> {
  const { operator, proxy, undoer } = world;
  const { timing } = options;
  const count = Math.max(1, Math.round(options.jobs * share));
  const bad = world.badJobs(count, options.kinds);
  const edits = world.edits(count);
  const [hungBefore, undoneBefore] = [proxy.patienceMs.length, undoer.writes];
  const onsetMs: number[] = [];
  const phase = async (beforeMs: number): Promise<Phase & { readonly beforeMs: readonly number[] }> => {
    const before = await edits.during(beforeMs, timing.perSecond);
    const meter = await world.meter();
    const healthyMs = await edits.during(timing.measuredMs, timing.perSecond);
    const cpu = meter.used();
    operator.requireAlive();
    return { beforeMs: before, healthyMs, rss: rssBytes(operator.pid), cpu };
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
  const [good, ill] = [pairs.map(({ under }) => under), pairs.map(({ over }) => over)];
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
    rss: { good: medianRss(good), bad: medianRss(ill) },
    cpu: { good: cpuAMinute(good, timing.measuredMs), bad: cpuAMinute(ill, timing.measuredMs) },
  };
}
