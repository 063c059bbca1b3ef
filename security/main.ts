import { Command, Option } from 'commander';
import { machine } from '../bench/result.ts';
import { duration } from '../test/cluster/progress.ts';
import type { Options, SecurityCheck } from './check.ts';
import { SECURITY_CHECKS } from './index.ts';
import { OPERATOR_ACCOUNT, USUAL_INSTALLATION } from './rbac/index.ts';
import { type Result, resultLines, runCheck } from './run.ts';

/** `npm run security -- [NAME…]`: shows what Bulkhead promises about abuse. Exit 1 where something does not hold. */

interface CommandOptions extends Options {
  readonly list?: true;
}

const listLine = ({ row, name, what }: SecurityCheck): string => `${row.padStart(5)}  ${name.padEnd(19)} ${what}`;

/** @throws Error for a name that no check has */
function chosen(names: readonly string[]): readonly SecurityCheck[] {
  const unknown = names.find((name) => !SECURITY_CHECKS.some((check) => check.name === name));
  if (unknown !== undefined) {
    throw new Error(`no check is named ${unknown}; there are ${SECURITY_CHECKS.map(({ name }) => name).join(', ')}`);
  }
  return names.length > 0 ? SECURITY_CHECKS.filter(({ name }) => names.includes(name)) : SECURITY_CHECKS;
}

async function runAll(checks: readonly SecurityCheck[], options: Options): Promise<boolean> {
  const startedAt = performance.now();
  const results: Result[] = [];
  for (const check of checks) results.push(await runCheck(check, options));
  const failed = results.filter(({ passed }) => !passed).length;
  process.stdout.write(`\n  row  ${'check'.padEnd(19)} held  figure\n`);
  for (const result of results) process.stdout.write(`${resultLines(result)}\n`);
  const took = duration(performance.now() - startedAt);
  const size = options.quick ? 'quick' : 'full';
  process.stdout.write(`\n${results.length - failed} passed, ${failed} failed, ${size}, in ${took}.\n`);
  process.stdout.write(`${JSON.stringify({ security: size, failed, results, machine: machine() })}\n`);
  return failed === 0;
}

const program = new Command('security')
  .description('Shows what Bulkhead promises about abuse, row by row.')
  .argument('[names...]', 'these checks alone')
  .addOption(new Option('--quick', 'fewer inputs: a minute').default(false))
  .addOption(new Option('--audit <files...>', 'audit logs of a whole end-to-end run, for rbac').default([]))
  .addOption(new Option('--user <name>', 'whom the audit logs call Bulkhead').default(OPERATOR_ACCOUNT))
  .addOption(new Option('--installation <folder>', 'how it was installed there').default(USUAL_INSTALLATION))
  .addOption(new Option('--list', 'only say what there is'))
  .action(async (names: readonly string[], { list, ...options }: CommandOptions) => {
    const checks = chosen(names);
    if (list) process.stdout.write(`${checks.map(listLine).join('\n')}\n`);
    else process.exitCode = (await runAll(checks, options)) ? 0 : 1;
  });

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`The checks could not run: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
