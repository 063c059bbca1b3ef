import { type Command, Option } from 'commander';
import type { JobContent, JobRevision } from '../job/goal.ts';
import { jobName } from '../job/ids.ts';
import { action, type Context, origin } from './context.ts';
import { CliError } from './errors.ts';
import { requireWanted } from './jobs.ts';
import { isActive } from './layer-words.ts';
import {
  dryRunOption,
  type GlobalOptions,
  mandatoryReasonOption,
  outputOption,
  parseJob,
  takeOverOption,
  wholeNumber,
} from './options.ts';
import { say } from './output.ts';
import type { DryRun } from './receipts.ts';
import { writeGoals } from './write-goals.ts';

interface RollbackOptions extends GlobalOptions {
  readonly to: number;
  readonly reason: string;
  readonly takeOver?: true;
  readonly dryRun: DryRun;
  readonly output?: 'name' | 'json';
}

const isOfJob = (revision: JobRevision): revision is JobRevision<JobContent> =>
  revision.content.kind === 'spec' || revision.content.kind === 'tombstone';

/** Layer job as it stood at a revision, which may be another layer's. @throws CliError when there is no such revision */
function standingAt(name: string, revisions: readonly JobRevision[], to: number): JobRevision<JobContent> {
  const newest = revisions.at(-1)?.revision ?? 0;
  const found = revisions.filter(isOfJob).findLast(({ revision }) => revision <= to);
  if (found && to <= newest) return found;
  throw new CliError(`${name} has no revision ${to}: its newest is ${newest}; see: bulkhead history ${name}`);
}

async function rollback(context: Context, options: RollbackOptions, [text = '']: string[]): Promise<void> {
  const store = await context.store();
  const goal = await requireWanted(store, parseJob(text, options));
  const name = jobName(goal.job);
  const { content, revision } = standingAt(name, await store.history(goal.job.id), options.to);
  if (content.kind === 'tombstone') {
    throw new CliError(
      `revision ${options.to} of ${name} is a removal (of revision ${revision}), to which nothing rolls back; remove the job with: bulkhead delete ${name}, or bring a removed one back with: bulkhead undelete ${name}`,
    );
  }
  const { takeOver } = options;
  const change = { job: goal.job, content, base: goal.layers.job.revision, ...(takeOver && { takeOver }) };
  const [receipt] = await writeGoals(
    context,
    { changes: [change], origin: origin(options, 'rollback'), goals: new Map([[name, goal]]) },
    options,
  );
  if (receipt?.outcome === 'unchanged') say(`${name} stands already as it did at revision ${options.to}.`);
  const above = [goal.layers.scaler, goal.layers.oncall].filter(isActive);
  if (above.length > 0) say(`What lies above stays as it is; see: bulkhead explain ${name}`);
}

export function addRollbackCommand(program: Command): void {
  program
    .command('rollback')
    .description('Make a job again what its own layer said at a revision: as a new revision, history stays')
    .argument('<job>', 'NAME or TENANT/NAME')
    .addOption(
      new Option('--to <revision>', 'as it stood at this revision; see: bulkhead history')
        .argParser(wholeNumber(1))
        .makeOptionMandatory(),
    )
    .addOption(mandatoryReasonOption())
    .addOption(takeOverOption())
    .addOption(dryRunOption())
    .addOption(outputOption('name', 'json'))
    .action(action<RollbackOptions>(rollback));
}
