import { Command, Option } from 'commander';
import { type BenchResult, machine } from './result.ts';
import { type SilenceOptions, silence } from './silence.ts';
import { type StoreOptions, store } from './store/index.ts';

/** `npm run bench -- NAME`: prints a table and, as its very last line, one JSON object. Exit 1 where the target is missed. */
function finish(result: BenchResult): never {
  process.stdout.write(`${JSON.stringify({ ...result, machine: machine() })}\n`);
  process.exit(result.met ? 0 : 1);
}

const program = new Command('bench').description('Measures Bulkhead on this machine.');

program
  .command('silence')
  .description('what a converged system writes; the target is nothing')
  .addOption(new Option('--seconds <n>', 'how long to listen').default(300).argParser(Number))
  .addOption(
    new Option('--cluster <kind>', 'what to run on').choices(['kind', 'control-plane']).default('control-plane'),
  )
  .action(async (options: SilenceOptions) => finish(await silence(options)));

program
  .command('store')
  .description('goals stored per second against pgbench, and change-to-seen latency among few and many idle jobs')
  .addOption(new Option('--rounds <n>', 'turns of storing, ours and pgbench’s').default(5).argParser(Number))
  .addOption(new Option('--samples <n>', 'changes to time in each store').default(2000).argParser(Number))
  .action(async (options: StoreOptions) => finish(await store(options)));

await program.parseAsync();
