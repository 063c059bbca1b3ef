import { LABELS } from '../../src/plan/objects.ts';
import { note, step } from '../../test/cluster/progress.ts';
import { breakGlass } from '../../test/support/break-glass.ts';
import { samplesOf, sumOf } from '../../test/support/metrics.ts';
import type { OperatorProcess } from '../../test/support/processes.ts';
import {
  AuditTail,
  type BenchPostgres,
  benchPostgres,
  CpuMeter,
  type CpuUse,
  cpuSeconds,
  freshLab,
  isCreation,
  isWrite,
  type Lab,
  loadJobs,
  OBJECTS_A_JOB,
  onInterrupt,
  startBulkhead,
  userOf,
  WATCHED,
  wallClockMs,
} from '../lab/index.ts';
import { barChart } from '../plot.ts';
import type { BenchResult } from '../result.ts';
import { rounded } from '../statistics.ts';
import { OwnerLedger, readMarks } from './ledger.ts';

export interface ScaleOutOptions {
  /** By default 1,000. */
  readonly jobs?: number;
  /** How many replicas, one run for each; by default 1, 2 and 4. */
  readonly replicas?: readonly number[];
  readonly quick?: boolean;
}

const DEFAULTS = { jobs: 1_000, replicas: [1, 2, 4] };
const QUICK = { jobs: 24, replicas: [2] };
const STALL_MS = 30_000;
/** No replica makes more than this, times an even share. They start at once, and not to the millisecond. */
const UNEVEN_LIMIT = 1.5;

interface Run {
  readonly replicas: number;
  /** From the start of the processes to the last object. */
  readonly seconds: number;
  /** From the first object to the last. */
  readonly writingSeconds: number;
  /** Objects made by each replica, by its own account. */
  readonly made: readonly number[];
  /** The same by the fence's marks in the objects and the store's table of shards. */
  readonly marked: readonly number[];
  readonly unexplained: number;
  /** Objects that were made again: none may be. */
  readonly madeAgain: number;
  /** Creates that met an object: by a new owner whose watch had not told of it yet. Nothing is doubled by them. */
  readonly metCreates: number;
  readonly servedTwice: number;
  readonly moves: number;
  readonly cpu: CpuUse;
}

async function madeBy(replica: OperatorProcess): Promise<number> {
  const url = String(replica.requireAlive().said('health is served')?.url ?? '');
  const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
  return sumOf(samplesOf(text), 'bulkhead_writes_total', { action: 'create' });
}

async function rebuild(lab: Lab, postgres: BenchPostgres, count: number, jobs: number): Promise<Run> {
  await using database = await postgres.database();
  await loadJobs(database.store, jobs, { tier: 'namespace' });
  await using tail = await AuditTail.from(lab.cluster.auditLogPath);
  const expected = jobs * OBJECTS_A_JOB.namespace;
  const user = userOf('bulkhead');
  const replicas: OperatorProcess[] = [];
  const forget = onInterrupt(() => Promise.all(replicas.map((replica) => replica.kill())));
  const ledger = new OwnerLedger(database.superuserUrl);
  try {
    const startedAt = wallClockMs();
    for (let i = 0; i < count; i += 1) {
      replicas.push(startBulkhead(lab, database, { name: `replica-${i + 1}` }));
    }
    const own = replicas.map(({ pid }, i) => [`replica ${i + 1}`, () => cpuSeconds(pid)] as const);
    const meter = await CpuMeter.start(lab, Object.fromEntries(own));
    const requests = await tail.untilCreated(user, expected, { stallMs: STALL_MS });
    const cpu = meter.used();
    await ledger.stop();
    const made = await Promise.all(replicas.map(madeBy));
    const admin = await breakGlass(lab.cluster);
    const selector = `${LABELS.store}=${database.store.storeId}`;
    const marks = await readMarks(admin, Object.values(WATCHED), selector, ledger);
    await admin.close();
    if (marks.objects !== expected) throw new Error(`${marks.objects} objects are there instead of ${expected}`);
    const times = requests.filter(isCreation).map(({ answeredAtMs }) => answeredAtMs);
    const attempts = requests.filter((it) => isWrite(it) && it.verb === 'create' && it.resource in WATCHED).length;
    return {
      replicas: count,
      seconds: (latest(times) - startedAt) / 1000,
      writingSeconds: (latest(times) - earliest(times)) / 1000,
      made,
      marked: replicas.map(({ pid }) => marks.byPid.get(pid) ?? 0),
      unexplained: marks.unexplained,
      madeAgain: times.length - expected,
      metCreates: attempts - times.length,
      servedTwice: ledger.servedTwice,
      moves: ledger.moves,
      cpu,
    };
  } finally {
    await ledger.stop();
    await Promise.all(replicas.map((replica) => replica.kill()));
    forget();
  }
}

const latest = (times: readonly number[]): number => times.reduce((a, b) => Math.max(a, b), 0);
const earliest = (times: readonly number[]): number => times.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);

/** How the rebuild of many jobs divides among replicas, how long it takes, and that none does another's work. */
export async function scaleOut(given: ScaleOutOptions): Promise<BenchResult> {
  const options = { quick: false, ...(given.quick ? { ...given, ...QUICK } : { ...DEFAULTS, ...given }) };
  await using lab = await freshLab('bench-scale-out', { controllers: false });
  await using postgres = await benchPostgres('scale-out');
  const runs: Run[] = [];
  for (const [i, count] of options.replicas.entries()) {
    if (i > 0) await lab.wipe();
    const text = `Making ${options.jobs} jobs with ${count} ${count === 1 ? 'replica' : 'replicas'}`;
    runs.push(await step(text, () => rebuild(lab, postgres, count, options.jobs), { typical: '10 s and more' }));
  }
  const first = runs[0];
  if (!first) throw new Error('nothing was measured: name at least one number of replicas');
  process.stdout.write(runs.map((run) => line(run, first)).join(''));
  for (const run of runs.filter((it) => !agrees(it))) {
    note(
      `${run.replicas} replicas: by their own account ${run.made.join(', ')}, by the marks ${run.marked.join(', ')}`,
    );
  }
  return result(options, runs, first);
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
/** 1: as even as can be. */
const unevenness = ({ made }: Run): number => (Math.max(...made) * made.length) / sum(made);
/** Whether each replica wrote under its own epochs, and nobody else's. */
const agrees = ({ made, marked, unexplained }: Run): boolean =>
  unexplained === 0 && made.every((count, i) => count === marked[i]);
const isRight = (run: Run): boolean => run.servedTwice === 0 && run.madeAgain === 0 && agrees(run);

function line(run: Run, first: Run): string {
  const shares = run.made.map((count) => `${((100 * count) / sum(run.made)).toFixed(0)} %`);
  const cpu = Object.entries(run.cpu).map(([name, seconds]) => `${name} ${seconds.toFixed(1)}`);
  return (
    `${run.replicas} ${run.replicas === 1 ? 'replica ' : 'replicas'}  ${run.seconds.toFixed(1)} s ` +
    `(writing ${run.writingSeconds.toFixed(1)} s, ×${(first.writingSeconds / run.writingSeconds).toFixed(2)}), ` +
    `divided ${shares.join(' : ')}, shards moved ${run.moves}, served twice ${run.servedTwice}, ` +
    `made again ${run.madeAgain}, met ${run.metCreates}, marks ${agrees(run) ? 'agree' : 'DISAGREE'}\n` +
    `            CPU seconds: ${cpu.join(', ')}\n`
  );
}

function result({ jobs, quick }: Required<ScaleOutOptions>, runs: readonly Run[], first: Run): BenchResult {
  // A few jobs are done before the second replica has started.
  const met = runs.every((run) => isRight(run) && (quick || unevenness(run) <= UNEVEN_LIMIT));
  return {
    bench: 'scale-out',
    jobs,
    value: rounded(Math.max(...runs.map(unevenness)), 2),
    unit: 'times an even share, done by the busiest replica',
    target: UNEVEN_LIMIT,
    met,
    verdict: quick ? 'undecided' : met ? 'met' : 'missed',
    runs: runs.map((run) => ({
      replicas: run.replicas,
      seconds: rounded(run.seconds, 2),
      writingSeconds: rounded(run.writingSeconds, 2),
      speedUp: rounded(first.writingSeconds / run.writingSeconds, 2),
      made: run.made,
      servedTwice: run.servedTwice,
      madeAgain: run.madeAgain,
      metCreates: run.metCreates,
      marksAgree: agrees(run),
      shardsMoved: run.moves,
      cpuSeconds: Object.fromEntries(Object.entries(run.cpu).map(([name, value]) => [name, rounded(value, 2)])),
    })),
    quick,
    plot: barChart({
      title: `Objects of ${jobs} jobs made by each replica`,
      unit: 'objects',
      groups: runs.map(({ replicas, seconds }) => `${replicas}: ${seconds.toFixed(1)} s`),
      series: Array.from({ length: Math.max(...runs.map(({ replicas }) => replicas)) }, (_, i) => ({
        name: `replica ${i + 1}`,
        values: runs.map(({ made }) => made[i] ?? null),
      })),
    }),
  };
}
