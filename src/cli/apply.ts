import { type Command, Option } from 'commander';
import type { Goal } from '../job/goal.ts';
import { jobName, revision } from '../job/ids.ts';
import type { Base, GoalChange } from '../ports/store.ts';
import { action, type Context, origin } from './context.ts';
import { CliError } from './errors.ts';
import { readJobs, type WrittenJob } from './intake.ts';
import {
  dryRunOption,
  type FileOptions,
  fileOption,
  type GlobalOptions,
  idempotencyOption,
  outputOption,
  reasonOption,
  recursiveOption,
  takeOverOption,
  timeoutOption,
  wholeNumber,
} from './options.ts';
import type { DryRun } from './receipts.ts';
import { isReady, waitFor } from './wait.ts';
import { readGoals, targetsOf, writeGoals } from './write-goals.ts';

interface ApplyOptions extends GlobalOptions, FileOptions {
  readonly dryRun: DryRun;
  readonly reason?: string;
  readonly base?: number;
  readonly idempotencyKey?: string;
  readonly takeOver?: true;
  readonly wait?: true;
  readonly timeout: number;
  readonly output?: 'name' | 'json';
}

/**
 * What the files say, each from the revision that it started from: the one that --base names, else the one just read,
 * so that nothing is written over which came in between. A call with a key may be the second one, after its own change:
 * what is read now says nothing about where it started.
 */
function changesOf(
  jobs: readonly WrittenJob[],
  goals: ReadonlyMap<string, Goal>,
  { base, idempotencyKey, takeOver }: Pick<ApplyOptions, 'base' | 'idempotencyKey' | 'takeOver'>,
): GoalChange[] {
  const given: Base | undefined = base === undefined ? base : base === 0 ? 'none' : revision(base);
  return jobs.map(({ name, spec }) => {
    const read = idempotencyKey === undefined ? (goals.get(jobName(name))?.layers.job.revision ?? 'none') : undefined;
    const from = given ?? read;
    const content = { kind: 'spec', spec } as const;
    return { job: name, content, ...(from !== undefined && { base: from }), ...(takeOver && { takeOver }) };
  });
}

async function apply(context: Context, options: ApplyOptions): Promise<void> {
  if (options.dryRun !== 'none' && options.wait) {
    throw new CliError('--wait has nothing to wait for with --dry-run; leave one out');
  }
  const jobs = await readJobs(options);
  if (options.base !== undefined && jobs.length !== 1) {
    throw new CliError(`--base speaks of one job, and the files have ${jobs.length}; apply that one alone`);
  }
  const goals = await readGoals(
    await context.store(),
    jobs.map(({ name }) => name),
  );
  const changes = changesOf(jobs, goals, options);
  const receipts = await writeGoals(context, { changes, goals, origin: origin(options) }, options);
  if (options.wait) await waitFor(context, targetsOf(receipts), { until: isReady, timeoutMs: options.timeout });
}

export function addApplyCommand(program: Command): void {
  program
    .command('apply')
    .description('Store the jobs of files as goals: all of them, or none when anything is wrong with any')
    .addOption(fileOption().makeOptionMandatory())
    .addOption(recursiveOption())
    .addOption(reasonOption())
    .addOption(
      new Option(
        '--base <revision>',
        'revision that the file was made from (0: the job is new); refused when layer job has changed since',
      ).argParser(wholeNumber(0)),
    )
    .addOption(takeOverOption())
    .addOption(idempotencyOption())
    .addOption(dryRunOption())
    .addOption(new Option('--wait', 'wait until all jobs are ready'))
    .addOption(timeoutOption())
    .addOption(outputOption('name', 'json'))
    .action(action<ApplyOptions>(apply));
}
