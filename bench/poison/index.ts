import { step } from '../../test/cluster/progress.ts';
import type { BenchResult } from '../result.ts';
import { KINDS, type Kind } from './bad-jobs.ts';
import { type Measured, measure, QUICK_TIMING, TIMING } from './measure.ts';
import { lines, result } from './report.ts';
import { makeWorld } from './world.ts';

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

const QUICK_SIZE: PoisonOptions = { jobs: 24, shares: [0.5], pairs: 1 };

/** Whether bad jobs cost healthy ones anything: an edit of a healthy job until an independent watcher sees it. */
export async function poison(given: PoisonOptions): Promise<BenchResult> {
  const options = { ...DEFAULTS, ...given, ...(given.quick && QUICK_SIZE) };
  const timing = given.quick ? QUICK_TIMING : TIMING;
  await using world = await makeWorld(options.jobs);
  const typicalMs = options.pairs * (timing.onsetMs + timing.recoveryMs + 2 * timing.measuredMs);
  const measured: Measured[] = [];
  for (const share of options.shares) {
    const text = `Timing edits of healthy jobs, ${share * 100} % of ${options.jobs} bad by turns`;
    measured.push(
      await step(text, () => measure(world, share, { ...options, timing }), {
        typical: `${Math.round(typicalMs / 1000)} s`,
      }),
    );
  }
  process.stdout.write(measured.map(lines).join('\n'));
  return result(options, measured);
}
