import { ownServer } from '../../faults/own-server.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openStore, type Store } from '../../src/store/open.ts';
import { step } from '../../test/cluster/progress.ts';
import { inDatabase, sql } from '../../test/support/postgres.ts';
import type { BenchResult } from '../result.ts';
import { quantile, quantileRatio, type Ratio, ratioText, rounded, roundedRatio, verdict } from '../statistics.ts';
import { newJobs, writeJobs } from './jobs.ts';
import { Watched } from './latency.ts';
import { pgbenchSeconds } from './pgbench.ts';
import { recordWrites } from './recorded-writes.ts';

export interface StoreOptions {
  readonly rounds: number;
  readonly samples: number;
}

const SINGLES_A_ROUND = 200;
const BATCHES_A_ROUND = 3;
const BATCH = 1_000;
const [FEW, MANY] = [100, 20_000];
const WARM_UP = 50;
const LIMIT = 1.2;

type Server = Awaited<ReturnType<typeof ownServer>>;

/** A fresh, migrated database on the server. @returns its URL for the role of run time */
async function database(server: Server, name: string): Promise<string> {
  await sql(server.superuserUrl, `create database ${name} owner bulkhead`);
  await migrate(inDatabase(server.adminUrl, name), { appRole: server.appRole });
  return inDatabase(server.url, name);
}

interface Rates {
  readonly ours: number;
  readonly pgbench: number;
  readonly ratio: number;
}

/** Goals stored per second by the store and by pgbench with the same statements, in turns. */
async function rates(server: Server, { rounds }: StoreOptions, writes: number, jobsEach: number): Promise<Rates> {
  const name = `of_${jobsEach}`;
  const [ours, theirs, recorded] = [
    await database(server, `ours_${name}`),
    await database(server, `theirs_${name}`),
    await database(server, `recorded_${name}`),
  ];
  const store = await openStore({ url: ours, applicationName: 'bench' });
  const seconds: { ours: number[]; pgbench: number[] } = { ours: [], pgbench: [] };
  try {
    await timeWrites(store, 1, jobsEach);
    for (let round = 0; round < rounds; round += 1) {
      const statements = await recordWrites(recorded, writes, jobsEach);
      const turns = [
        async () => seconds.ours.push(await timeWrites(store, writes, jobsEach)),
        async () => seconds.pgbench.push(await pgbenchSeconds(theirs, statements)),
      ];
      for (const turn of round % 2 === 0 ? turns : turns.toReversed()) await turn();
    }
  } finally {
    await store.close();
  }
  const perSecond = (all: readonly number[]): number => (writes * jobsEach) / quantile(all, 0.5);
  const [a, b] = [perSecond(seconds.ours), perSecond(seconds.pgbench)];
  return { ours: a, pgbench: b, ratio: a / b };
}

async function timeWrites(store: Store, writes: number, jobsEach: number): Promise<number> {
  const changes = Array.from({ length: writes }, () => newJobs(jobsEach));
  const startedAt = performance.now();
  for (const jobs of changes) await writeJobs(store, jobs);
  return (performance.now() - startedAt) / 1000;
}

interface Latencies {
  readonly seen: readonly number[];
  readonly answered: readonly number[];
  readonly polls: readonly number[];
}

/** In turns on two stores, so that whatever happens on this machine meets both. */
async function latencies(server: Server, { samples }: StoreOptions): Promise<{ few: Latencies; many: Latencies }> {
  await using few = await Watched.open(await database(server, 'few'), FEW);
  await using many = await step(`Storing ${MANY} idle jobs`, async () =>
    Watched.open(await database(server, 'many'), MANY),
  );
  await sql(server.superuserUrl, 'checkpoint');
  const measured = [few, many].map((watched) => ({
    watched,
    seen: [] as number[],
    answered: [] as number[],
    polls: [] as number[],
  }));
  for (let i = -WARM_UP; i < samples; i += 1) {
    for (const one of i % 2 === 0 ? measured : measured.toReversed()) {
      const { seenMs, answeredMs } = await one.watched.sample();
      const pollMs = await one.watched.timePoll();
      if (i < 0) continue;
      one.seen.push(seenMs);
      one.answered.push(answeredMs);
      one.polls.push(pollMs);
    }
  }
  const [a, b] = measured;
  if (!a || !b) throw new Error('nothing was measured');
  return { few: a, many: b };
}

/** Goals stored per second against pgbench, and whether a change is seen as fast among many idle jobs as among few. */
export async function store(options: StoreOptions): Promise<BenchResult> {
  await using server = await ownServer('bench');
  const single = await step('Storing goals one by one', () => rates(server, options, SINGLES_A_ROUND, 1));
  const batched = await step(`Storing goals in batches of ${BATCH}`, () =>
    rates(server, options, BATCHES_A_ROUND, BATCH),
  );
  const { few, many } = await step(`Timing ${options.samples} changes each among ${FEW} and ${MANY} jobs`, () =>
    latencies(server, options),
  );
  const [p50, p99] = [0.5, 0.99].map((q) => quantileRatio(many.seen, few.seen, q)) as [Ratio, Ratio];
  const verdicts = { p50: verdict(p50, LIMIT), p99: verdict(p99, LIMIT) };
  const ms = (of: readonly number[], q: number): string => quantile(of, q).toFixed(1).padStart(6);
  const rate = ({ ours, pgbench, ratio }: Rates): string =>
    `${ours.toFixed(0).padStart(7)} goals/s, pgbench ${pgbench.toFixed(0)}/s, ratio ${ratio.toFixed(2)}`;
  process.stdout.write(
    `stored one by one           ${rate(single)}\n` +
      `stored in batches of ${BATCH}   ${rate(batched)}\n` +
      `seen among ${FEW} jobs      p50 ${ms(few.seen, 0.5)} ms, p99 ${ms(few.seen, 0.99)} ms\n` +
      `seen among ${MANY} jobs    p50 ${ms(many.seen, 0.5)} ms, p99 ${ms(many.seen, 0.99)} ms\n` +
      `many against few, p50       ${ratioText(p50)}: ${verdicts.p50}\n` +
      `many against few, p99       ${ratioText(p99)}: ${verdicts.p99}\n`,
  );
  const figures = (of: Latencies) => ({
    p50Ms: rounded(quantile(of.seen, 0.5), 2),
    p99Ms: rounded(quantile(of.seen, 0.99), 2),
    answeredP50Ms: rounded(quantile(of.answered, 0.5), 2),
    pollP50Ms: rounded(quantile(of.polls, 0.5), 2),
  });
  return {
    bench: 'store',
    jobs: MANY,
    value: rounded(Math.max(p50.value, p99.value), 2),
    unit: `times the change-to-seen latency among ${FEW} jobs`,
    target: LIMIT,
    met: verdicts.p50 !== 'missed' && verdicts.p99 !== 'missed',
    verdicts,
    p50: roundedRatio(p50),
    p99: roundedRatio(p99),
    few: figures(few),
    many: figures(many),
    single: { ours: rounded(single.ours, 0), pgbench: rounded(single.pgbench, 0), ratio: rounded(single.ratio, 2) },
    batched: { ours: rounded(batched.ours, 0), pgbench: rounded(batched.pgbench, 0), ratio: rounded(batched.ratio, 2) },
    samples: options.samples,
    rounds: options.rounds,
    fsync: true,
  };
}
