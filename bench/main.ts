import { Command, InvalidArgumentError, Option } from 'commander';
import { type BenchResult, type FinishOptions, finish } from './result.ts';

const program = new Command('bench').description('Measures Bulkhead on this machine.');

function positive(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('a number above 0, please');
}

const list = (text: string): string[] => text.split(',').map((one) => one.trim());
const numbers = (text: string): number[] => list(text).map(positive);

/** A benchmark: prints a table and, as its very last line, one JSON object. Loaded when it is asked for. */
function bench(
  name: string,
  description: string,
  load: () => Promise<(options: never) => Promise<BenchResult>>,
): Command {
  return (
    program
      .command(name)
      .description(description)
      .option('--save [name]', 'keep the result in bench/results, under the benchmark’s name or another')
      // What the options of a command are is said where it is made, and known to the benchmark alone.
      .action(async (options: FinishOptions) => finish(await (await load())(options as never), options))
  );
}

/** One whose size is to be chosen. */
const sized: typeof bench = (name, description, load) =>
  bench(name, description, load)
    .addOption(new Option('--jobs <n>', 'how many jobs').argParser(positive))
    .option('--quick', 'a smoke run: shows that it works, says nothing about speed');

bench(
  'silence',
  'what a converged system writes; the target is nothing',
  async () => (await import('./silence.ts')).silence,
)
  .addOption(new Option('--seconds <n>', 'how long to listen').default(300).argParser(positive))
  .addOption(
    new Option('--cluster <kind>', 'what to run on').choices(['kind', 'control-plane']).default('control-plane'),
  );

bench(
  'store',
  'goals stored per second against pgbench, and change-to-seen latency among few and many idle jobs',
  async () => (await import('./store/index.ts')).store,
)
  .addOption(new Option('--rounds <n>', 'turns of storing, ours and pgbench’s').default(5).argParser(positive))
  .addOption(new Option('--samples <n>', 'changes to time in each store').default(2000).argParser(positive));

sized(
  'rebuild',
  'from an empty cluster to the last object, against the API server’s limit and a controller-runtime operator',
  async () => (await import('./rebuild/index.ts')).rebuild,
)
  .addOption(new Option('--sizes <list>', 'numbers of jobs, one after the other').argParser(numbers))
  .addOption(new Option('--pairs <n>', 'turns of each contestant, by default 3').argParser(positive))
  .addOption(new Option('--only <names>', 'of bulkhead, replay, transport, tuned, defaults, kopf').argParser(list))
  .addOption(new Option('--tier <tier>', 'how isolated the jobs are').choices(['namespace', 'shared']))
  .addOption(new Option('--concurrency <n>', 'of the replay; otherwise the best of several').argParser(positive))
  .option('--ready', 'until all workers are ready, on nodes that kwok plays');

sized(
  'profile',
  'where the time of a rebuild goes, in the operator and in the API server; flame graphs with --save',
  async () => (await import('./profile/index.ts')).profile,
);

sized(
  'memory',
  'resident memory a job, from few jobs to many, against a controller-runtime operator',
  async () => (await import('./memory/index.ts')).memory,
)
  .addOption(new Option('--sizes <list>', 'numbers of jobs').argParser(numbers))
  .addOption(new Option('--starts <n>', 'of Bulkhead with each number of jobs, by default 5').argParser(positive))
  .addOption(new Option('--only <names>', 'of bulkhead, tuned').argParser(list));

sized(
  'change',
  'from the commit of an edit until a watcher sees it, among few and many idle jobs, against NOTIFY and one bare PUT',
  async () => (await import('./change/index.ts')).change,
)
  .addOption(new Option('--few <n>', 'how many idle jobs the small site has, by default 100').argParser(positive))
  .addOption(new Option('--samples <n>', 'edits of each at each site, by default 1000').argParser(positive))
  .addOption(new Option('--edit <what>', 'what is edited, by default replicas').choices(['replicas', 'image']))
  .addOption(new Option('--tier <tier>', 'how isolated the jobs are').choices(['namespace', 'shared']));

sized(
  'idle',
  'what a converged operator asks of the API server, of Postgres and of the processor, against controller-runtime',
  async () => (await import('./idle/index.ts')).idle,
).addOption(new Option('--seconds <n>', 'how long to listen, by default 600').argParser(positive));

sized(
  'heal',
  'each kind of child deleted under load until it is back, against a controller-runtime operator',
  async () => (await import('./heal/index.ts')).heal,
).addOption(new Option('--pairs <n>', 'turns of each').argParser(positive));

sized(
  'poison',
  'edits of healthy jobs while 1, 10 and 50 % are bad, against the same without them',
  async () => (await import('./poison/index.ts')).poison,
)
  .addOption(new Option('--pairs <n>', 'with and without bad jobs, by default 10').argParser(positive))
  .addOption(new Option('--shares <list>', 'of bad jobs, from 0 to 1').argParser(numbers))
  .addOption(new Option('--kinds <list>', 'of refused, hung, flapping, conflict').argParser(list));

sized(
  'takeover',
  'a replica is lost to the first right write of its successor, against a peer with a Lease',
  async () => (await import('./takeover/index.ts')).takeover,
).addOption(new Option('--repetitions <n>', 'losses in each way, by default 5').argParser(positive));

sized(
  'scale-out',
  'whether the work divides among 1, 2 and 4 replicas, and no shard is served twice',
  async () => (await import('./scale-out/index.ts')).scaleOut,
).addOption(new Option('--replicas <list>', 'how many, one run for each').argParser(numbers));

sized(
  'soak',
  'churn for an hour: memory that grows, writes at rest',
  async () => (await import('./soak/index.ts')).soak,
).addOption(new Option('--minutes <n>', 'how long, by default 60').argParser(positive));

await program.parseAsync();
