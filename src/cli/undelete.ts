import type { Command } from 'commander';
import { type JobName, jobName } from '../job/ids.ts';
import { StaleBaseError } from '../ports/store.ts';
import type { Store } from '../store/open.ts';
import { action, type Context, origin } from './context.ts';
import { CliError } from './errors.ts';
import { dryRunOption, type GlobalOptions, outputOption, parseJob, reasonOption, takeOverOption } from './options.ts';
import type { DryRun } from './receipts.ts';
import { writeGoals } from './write-goals.ts';

interface UndeleteOptions extends GlobalOptions {
  readonly reason?: string;
  readonly takeOver?: true;
  readonly dryRun: DryRun;
  readonly output?: 'name' | 'json';
}

const tooLate = (job: JobName): CliError =>
  new CliError(
    `${jobName(job)} cannot be brought back: no job of that name was removed within the time that names are kept (see: bulkhead store status); make it anew with: bulkhead apply`,
  );

/** The job, and what its own layer said before it was removed. @throws CliError */
async function lastContent(store: Store, job: JobName) {
  const there = await store.find(job);
  if (there) {
    const name = jobName(job);
    throw new CliError(
      `${name} is not removed: it stands at revision ${there.revision}; to go back to an earlier one: bulkhead rollback ${name} --to N --reason …`,
    );
  }
  const removed = await store.findRemoved(job);
  if (!removed) throw tooLate(job);
  const revisions = await store.history(removed.goal.job.id);
  const content = revisions.findLast((it) => it.content.kind === 'spec')?.content;
  if (content?.kind !== 'spec') throw tooLate(job);
  return { goal: removed.goal, content };
}

async function undelete(context: Context, options: UndeleteOptions, [text = '']: string[]): Promise<void> {
  const job = parseJob(text, options);
  const { goal, content } = await lastContent(await context.store(), job);
  // From the tombstone: once the name is free, this must not make a new job of the old content.
  const { takeOver } = options;
  const change = { job, content, base: goal.layers.job.revision, ...(takeOver && { takeOver }) };
  const goals = new Map([[jobName(job), goal]]);
  try {
    await writeGoals(context, { changes: [change], origin: origin(options, 'rollback'), goals }, options);
  } catch (error) {
    if (error instanceof StaleBaseError && error.current === null) throw tooLate(job);
    throw error;
  }
}

export function addUndeleteCommand(program: Command): void {
  program
    .command('undelete')
    .description('Bring back a job that was removed lately, under its old id and as it was; its cell is made again')
    .argument('<job>', 'NAME or TENANT/NAME')
    .addOption(reasonOption())
    .addOption(takeOverOption())
    .addOption(dryRunOption())
    .addOption(outputOption('name', 'json'))
    .action(action<UndeleteOptions>(undelete));
}
