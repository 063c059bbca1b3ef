import { type Command, Option } from 'commander';
import { contentHash } from '../job/canonical.ts';
import type { GoalContent } from '../job/goal.ts';
import { revision } from '../job/ids.ts';
import type { GoalReceipt } from '../ports/store.ts';
import type { Store } from '../store/open.ts';
import { action, type Context, origin } from './context.ts';
import { CliError } from './errors.ts';
import { readJobs, type WrittenJob } from './intake.ts';
import {
  dryRunOption,
  type FileOptions,
  fileOption,
  type GlobalOptions,
  outputOption,
  reasonOption,
  recursiveOption,
  timeoutOption,
} from './options.ts';
import { print } from './output.ts';
import { receiptText } from './receipts.ts';
import { isReady, type WaitTarget, waitFor } from './wait.ts';

interface ApplyOptions extends GlobalOptions, FileOptions {
  readonly dryRun: 'client' | 'none';
  readonly reason?: string;
  readonly wait?: true;
  readonly timeout: number;
  readonly output?: 'name' | 'json';
}

/** What the store would answer, as things stand. */
async function foresee(store: Store, { name, spec }: WrittenJob): Promise<GoalReceipt> {
  const goal = await store.find(name);
  if (!goal) return { job: name, id: null, revision: revision(1), outcome: 'created' };
  const content: GoalContent = { kind: 'spec', spec };
  return contentHash(content) === goal.contentHash
    ? { job: name, id: goal.job.id, revision: goal.revision, outcome: 'unchanged' }
    : { job: name, id: goal.job.id, revision: revision(goal.revision + 1), outcome: 'configured' };
}

const targetsOf = (receipts: readonly GoalReceipt[]): WaitTarget[] =>
  receipts.flatMap(({ job, id, revision: at }) =>
    id !== null && at !== null ? [{ job: { ...job, id }, revision: at }] : [],
  );

async function apply(context: Context, options: ApplyOptions): Promise<void> {
  const dryRun = options.dryRun === 'client';
  if (dryRun && options.wait) throw new CliError('--wait has nothing to wait for with --dry-run; leave one out');
  const jobs = await readJobs(options);
  const store = await context.store();
  const receipts = dryRun
    ? await Promise.all(jobs.map((job) => foresee(store, job)))
    : await store.write(
        jobs.map(({ name, spec }) => ({ job: name, content: { kind: 'spec', spec } })),
        origin(options.reason),
      );
  await print(receiptText(receipts, options.output, dryRun));
  if (options.wait) await waitFor(context, targetsOf(receipts), { until: isReady, timeoutMs: options.timeout });
}

export function addApplyCommand(program: Command): void {
  program
    .command('apply')
    .description('Store the jobs of files as goals: all of them, or none when anything is wrong with any')
    .addOption(fileOption().makeOptionMandatory())
    .addOption(recursiveOption())
    .addOption(reasonOption())
    .addOption(dryRunOption())
    .addOption(new Option('--wait', 'wait until all jobs are ready'))
    .addOption(timeoutOption())
    .addOption(outputOption('name', 'json'))
    .action(action<ApplyOptions>(apply));
}
