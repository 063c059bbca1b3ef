import { unserved } from '../../faults/jobs.ts';
import type { StatusStore } from '../../src/ports/store.ts';
import { note, step } from '../../test/cluster/progress.ts';
import { breakGlass } from '../../test/support/break-glass.ts';
import type { OperatorProcess } from '../../test/support/processes.ts';
import { until } from '../../test/support/until.ts';
import { benchPostgres, freshLab, onInterrupt, rssBytes, startBulkhead } from '../lab/index.ts';
import type { BenchResult } from '../result.ts';
import { Churn } from './churn.ts';
import { listenQuietly, pause, type Quiet, STATISTICS_DELAY_MS, writesIn } from './quiet.ts';
import { line, report, type Sample, type Soaked } from './report.ts';

export interface SoakOptions {
  /** By default 60. */
  readonly minutes?: number;
  /** By default 300. */
  readonly jobs?: number;
  readonly quick?: boolean;
}

interface Timing {
  readonly totalMs: number;
  readonly jobs: number;
  /** Things that happen in a second, in the churn. */
  readonly perSecond: number;
  readonly churnMs: number;
  /** After the churn: namespaces end, workers roll out, and Postgres hands in its counts. */
  readonly settleMs: number;
  readonly quietMs: number;
  /** After it. */
  readonly delayMs: number;
  readonly sampleMs: number;
}

const DEFAULTS = {
  perSecond: 2,
  churnMs: 170_000,
  settleMs: 40_000,
  quietMs: 60_000,
  delayMs: STATISTICS_DELAY_MS,
  sampleMs: 10_000,
};
const QUICK: Timing = {
  totalMs: 0,
  jobs: 8,
  perSecond: 4,
  churnMs: 2_000,
  settleMs: 4_000,
  quietMs: 1_000,
  delayMs: 500,
  sampleMs: 250,
};
const START_LIMIT_MS = 60_000;
const JOB_LIMIT_MS = 1_000;
/** Whoever is under way after this time is told of, and what is written then counts. */
const REST_LIMIT_MS = 300_000;
/** Longer is not waited for the end of a soak that was told to end; then everything is taken down as it is. */
const STOP_LIMIT_MS = 60_000;

/**
 * Churn and quiet in turns, for an hour: whether memory grows, and whether anything is written while nothing is wanted.
 * Told to stop (SIGINT, SIGTERM), or when anything fails on the way, it says what it has seen so far.
 */
export async function soak(options: SoakOptions): Promise<BenchResult> {
  const { jobs = 300, minutes = 60, quick = false } = options;
  const timing: Timing = quick ? QUICK : { ...DEFAULTS, jobs, totalMs: minutes * 60_000 };
  await using lab = await freshLab('bench-soak', { controllers: true });
  await using postgres = await benchPostgres('soak');
  await using database = await postgres.database();
  const admin = await breakGlass(lab.cluster);
  const churn = new Churn(database.store, admin);
  await using operator = startBulkhead(lab, database);
  const stop = new AbortController();
  // What was measured is told first, and ends the process by itself.
  const forget = onInterrupt(() => {
    stop.abort();
    return new Promise((resolve) => setTimeout(resolve, STOP_LIMIT_MS));
  });
  try {
    await operator.untilSaid('watching the cluster', START_LIMIT_MS);
    await churn.add(timing.jobs);
    await step(`Waiting until ${timing.jobs} jobs run`, () =>
      until(`${timing.jobs} jobs run`, START_LIMIT_MS + timing.jobs * JOB_LIMIT_MS, async () => {
        await pause(1_000, stop.signal);
        return stop.signal.aborted || (await underWay(churn, database.store)) === 0;
      }),
    );
    const seen = { auditLogPath: lab.cluster.auditLogPath, superuserUrl: database.superuserUrl, store: database.store };
    const soaked = await run(operator, churn, seen, timing, stop.signal);
    process.stdout.write(line(soaked));
    return report(soaked, { jobs: timing.jobs, perSecond: timing.perSecond, quick });
  } finally {
    forget();
    await admin.close();
  }
}

interface Seen {
  readonly auditLogPath: string;
  readonly superuserUrl: string;
  readonly store: StatusStore;
}

async function run(
  operator: OperatorProcess,
  churn: Churn,
  { auditLogPath, superuserUrl, store }: Seen,
  timing: Timing,
  signal: AbortSignal,
): Promise<Soaked> {
  const startedAt = performance.now();
  const samples: Sample[] = [];
  const sampling = setInterval(() => {
    const bytes = rssBytes(operator.pid);
    if (!Number.isNaN(bytes)) samples.push({ atMs: performance.now() - startedAt, bytes });
  }, timing.sampleMs);
  const windows: Quiet[] = [];
  let failure: string | null = null;
  const roundMs = timing.churnMs + timing.settleMs + timing.quietMs + timing.delayMs;
  const rounds = Math.max(1, Math.floor(timing.totalMs / roundMs));
  try {
    for (let i = 0; i < rounds && !signal.aborted; i += 1) {
      const churning = churn.start(timing.perSecond);
      await pause(timing.churnMs, signal);
      await churning.stop();
      await pause(timing.settleMs, signal);
      if (signal.aborted) break;
      const late = await settled(churn, store, timing, signal);
      const quiet = await listenQuietly(auditLogPath, superuserUrl, timing.quietMs, timing.delayMs, signal);
      // Half a window says nothing that could be held against a whole one.
      if (!signal.aborted) windows.push(quiet);
      operator.requireAlive();
      note(
        `  round ${i + 1} of ${rounds}: ${writesIn(quiet)} writes in ${quiet.seconds.toFixed(0)} s of quiet, ` +
          `${late} jobs were under way before it, resident ${((samples.at(-1)?.bytes ?? 0) / 2 ** 20).toFixed(0)} MiB`,
      );
    }
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  } finally {
    clearInterval(sampling);
  }
  return {
    seconds: (performance.now() - startedAt) / 1000,
    samples,
    windows,
    happened: churn.counts,
    roundSamples: Math.round(roundMs / timing.sampleMs),
    ended: failure ?? (signal.aborted ? 'stopped before its time' : null),
  };
}

/**
 * At rest is only who has nothing left to do: on a machine that is taken by others the churn's work may take longer.
 * @returns how many jobs are not as they should be even so
 */
async function settled(
  churn: Churn,
  store: StatusStore,
  { settleMs, delayMs }: Timing,
  signal: AbortSignal,
): Promise<number> {
  const until = performance.now() + REST_LIMIT_MS;
  let late = await underWay(churn, store);
  while (late > 0 && performance.now() < until && !signal.aborted) {
    await pause(settleMs + delayMs, signal);
    late = await underWay(churn, store);
  }
  return late;
}

/** How many jobs do not run yet, or are not gone yet. */
async function underWay({ jobs, removed }: Churn, store: StatusStore): Promise<number> {
  const left = [await unserved(store, jobs, 'Running'), await unserved(store, removed, 'Gone')];
  return left.flat().length;
}
