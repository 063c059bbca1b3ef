import { Command, Option } from 'commander';
import { machine } from '../bench/result.ts';
import { duration } from '../test/cluster/progress.ts';
import { type Result, resultLines, runScenarios, SAMPLED_AT_ONCE } from './run.ts';
import type { Scenario, Size } from './scenario.ts';
import { Stage } from './stage.ts';
import { STORE_SCENARIOS } from './store/index.ts';

/** `npm run faults -- SET`: makes the faults of faults.md for real. Exit 1 where something does not hold. */

interface Options {
  readonly only?: readonly string[];
  readonly size: Size;
  readonly list?: true;
}

const listLine = ({ row, name, what }: Scenario): string => `${row.padStart(5)}  ${name.padEnd(19)} ${what}`;

/** @throws Error for a name that no scenario has */
function chosen(all: readonly Scenario[], only: readonly string[] | undefined): readonly Scenario[] {
  const unknown = only?.find((name) => !all.some((scenario) => scenario.name === name));
  if (unknown !== undefined) {
    throw new Error(`no scenario is named ${unknown}; there are ${all.map(({ name }) => name).join(', ')}`);
  }
  return only ? all.filter(({ name }) => only.includes(name)) : all;
}

async function runAll(set: string, scenarios: readonly Scenario[], size: Size): Promise<boolean> {
  const startedAt = performance.now();
  let results: readonly Result[];
  {
    await using stage = new Stage(size);
    results = await runScenarios(scenarios, { size, stage }, size === 'sampled' ? SAMPLED_AT_ONCE : 1);
  }
  const failed = results.filter(({ passed }) => !passed).length;
  process.stdout.write(`\n  row  ${'scenario'.padEnd(19)} held  figure\n`);
  for (const result of results) process.stdout.write(`${resultLines(result)}\n`);
  const took = duration(performance.now() - startedAt);
  process.stdout.write(`\n${results.length - failed} passed, ${failed} failed, ${size}, in ${took}.\n`);
  const summary = { faults: set, size, passed: results.length - failed, failed, results, machine: machine() };
  process.stdout.write(`${JSON.stringify(summary)}\n`);
  return failed === 0;
}

const program = new Command('faults').description('Makes faults for real, and says what held.');
program
  .command('store')
  .description('rows 2–10 and 17–20 of faults.md: Postgres, shards and fencing')
  .addOption(new Option('--only <names...>', 'these scenarios alone'))
  .addOption(
    new Option('--size <size>', 'sampled takes minutes, full half an hour')
      .choices(['sampled', 'full'])
      .default('full'),
  )
  .addOption(new Option('--sampled', 'the same as --size sampled').implies({ size: 'sampled' }))
  .addOption(new Option('--full', 'the same as --size full').implies({ size: 'full' }))
  .addOption(new Option('--list', 'only say what there is'))
  .action(async ({ only, size, list }: Options) => {
    const scenarios = chosen(STORE_SCENARIOS, only);
    if (list) process.stdout.write(`${scenarios.map(listLine).join('\n')}\n`);
    else process.exitCode = (await runAll('store', scenarios, size)) ? 0 : 1;
  });

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`The scenarios could not run: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
