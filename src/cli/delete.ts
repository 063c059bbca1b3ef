import { type Command, Option } from 'commander';
import { type JobName, jobName, revision } from '../job/ids.ts';
import type { GoalReceipt } from '../ports/store.ts';
import type { Store } from '../store/open.ts';
import { canAsk, confirm } from './confirm.ts';
import { action, type Context, origin } from './context.ts';
import { CliError } from './errors.ts';
import { readJobs } from './intake.ts';
import { notFound } from './jobs.ts';
import {
  dryRunOption,
  type FileOptions,
  fileOption,
  type GlobalOptions,
  outputOption,
  parseJob,
  reasonOption,
  recursiveOption,
  timeoutOption,
} from './options.ts';
import { print } from './output.ts';
import { countOf, namesText, receiptText } from './receipts.ts';
import { isGone, waitFor } from './wait.ts';

interface DeleteOptions extends GlobalOptions, FileOptions {
  readonly dryRun: 'client' | 'none';
  readonly reason?: string;
  readonly wait?: true;
  readonly timeout: number;
  readonly yes?: true;
  readonly ignoreNotFound?: true;
  readonly output?: 'name' | 'json';
}

async function jobsToDelete(options: DeleteOptions, names: readonly string[]): Promise<JobName[]> {
  const fromFiles = options.filename !== undefined;
  if (fromFiles === names.length > 0) throw new CliError('name jobs, or files with -f: one of the two');
  if (fromFiles) return (await readJobs(options)).map((job) => job.name);
  const jobs = names.map((name) => parseJob(name, options));
  return [...new Map(jobs.map((job) => [jobName(job), job])).values()];
}

async function foresee(store: Store, job: JobName): Promise<GoalReceipt> {
  const goal = await store.find(job);
  return goal
    ? { job, id: goal.job.id, revision: revision(goal.revision + 1), outcome: 'removed' }
    : { job, id: null, revision: null, outcome: 'absent' };
}

/** Several jobs at once are asked about where somebody can answer; a single one is taken as meant. */
async function isMeant(jobs: readonly JobName[], options: DeleteOptions): Promise<boolean> {
  if (jobs.length < 2 || options.yes || !canAsk()) return true;
  return confirm(`Delete ${countOf(jobs)} with their cells (${namesText(jobs)})?`);
}

async function remove(context: Context, options: DeleteOptions, names: string[]): Promise<void> {
  const dryRun = options.dryRun === 'client';
  if (dryRun && options.wait) throw new CliError('--wait has nothing to wait for with --dry-run; leave one out');
  const jobs = await jobsToDelete(options, names);
  const store = await context.store();
  if (!dryRun && !(await isMeant(jobs, options))) throw new CliError('nothing was deleted');
  const receipts = dryRun
    ? await Promise.all(jobs.map((job) => foresee(store, job)))
    : await store.write(
        jobs.map((job) => ({ job, content: { kind: 'tombstone' } })),
        origin(options.reason),
      );
  const removed = receipts.filter(({ outcome }) => outcome === 'removed');
  await print(receiptText(removed, options.output, dryRun));
  if (options.wait) {
    const targets = removed.flatMap(({ job, id, revision: at }) =>
      id !== null && at !== null ? [{ job: { ...job, id }, revision: at }] : [],
    );
    await waitFor(context, targets, { until: isGone, timeoutMs: options.timeout });
  }
  const absent = receipts.filter(({ outcome }) => outcome === 'absent').map(({ job }) => job);
  if (absent.length === 0 || options.ignoreNotFound) return;
  const goals = await store.list();
  throw new CliError(absent.map((job) => notFound(job, goals)).join('; '));
}

export function addDeleteCommand(program: Command): void {
  program
    .command('delete')
    .description('Remove jobs: their cells go with everything in them, their history stays')
    .argument('[jobs...]', 'NAME or TENANT/NAME')
    .addOption(fileOption())
    .addOption(recursiveOption())
    .addOption(reasonOption())
    .addOption(dryRunOption())
    .addOption(new Option('--wait', 'wait until the cells are gone'))
    .addOption(timeoutOption())
    .addOption(new Option('--ignore-not-found', 'a job that is not there is no error'))
    .addOption(new Option('--yes', 'do not ask'))
    .addOption(outputOption('name', 'json'))
    .action(action<DeleteOptions>(remove));
}
