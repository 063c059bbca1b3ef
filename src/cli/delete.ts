import { type Command, Option } from 'commander';
import type { Goal } from '../job/goal.ts';
import { type JobName, jobName } from '../job/ids.ts';
import type { GoalChange } from '../ports/store.ts';
import type { Store } from '../store/open.ts';
import { removalForecast } from './brake-text.ts';
import { canAsk, requireYes } from './confirm.ts';
import { action, type Context, origin } from './context.ts';
import { CliError } from './errors.ts';
import { readJobs } from './intake.ts';
import { notFound } from './jobs.ts';
import {
  dryRunOption,
  type FileOptions,
  fileOption,
  type GlobalOptions,
  idempotencyOption,
  outputOption,
  parseJob,
  reasonOption,
  recursiveOption,
  takeOverOption,
  tenantOf,
  timeoutOption,
  yesOption,
} from './options.ts';
import { say } from './output.ts';
import { countOf, type DryRun, namesText } from './receipts.ts';
import { isGone, waitFor } from './wait.ts';
import { readGoals, targetsOf, writeGoals } from './write-goals.ts';

interface DeleteOptions extends GlobalOptions, FileOptions {
  readonly dryRun: DryRun;
  readonly all?: true;
  readonly reason?: string;
  readonly idempotencyKey?: string;
  readonly takeOver?: true;
  readonly wait?: true;
  readonly timeout: number;
  readonly yes?: true;
  readonly ignoreNotFound?: true;
  readonly output?: 'name' | 'json';
}

/** Every job of a tenant, or of all: asked for by name, so that nobody deletes a default tenant by a slip. */
async function allJobs(store: Store, options: DeleteOptions): Promise<JobName[]> {
  if (options.namespace === undefined && !options.allNamespaces) {
    throw new CliError('--all of what? Name a tenant with -n, or say -A for all of them');
  }
  const tenant = tenantOf(options);
  return (await store.list(tenant === null ? {} : { tenant })).map(({ job }) => ({
    tenant: job.tenant,
    name: job.name,
  }));
}

async function jobsToDelete(store: Store, options: DeleteOptions, names: readonly string[]): Promise<JobName[]> {
  const ways = [names.length > 0, options.filename !== undefined, options.all === true].filter(Boolean).length;
  if (ways !== 1) throw new CliError('name jobs, or files with -f, or say --all: one of the three');
  if (options.all) return allJobs(store, options);
  if (names.length === 0) return (await readJobs(options)).map((job) => job.name);
  const jobs = names.map((name) => parseJob(name, options));
  return [...new Map(jobs.map((job) => [jobName(job), job])).values()];
}

/** Everything at once needs a person's word; several jobs by name are asked about where somebody can answer. */
async function requireMeant(store: Store, jobs: readonly JobName[], options: DeleteOptions): Promise<void> {
  if (options.dryRun !== 'none' || options.yes || jobs.length === 0) return;
  if (!options.all && (jobs.length === 1 || !canAsk())) return;
  const where = !options.all
    ? ''
    : options.namespace === undefined
      ? ' of all tenants'
      : ` of tenant ${options.namespace}`;
  const forecast = removalForecast(await store.brakeState(), jobs.length);
  const what = jobs.length === 1 ? 'its cell and everything in it' : 'their cells and everything in them';
  const question = `Delete ${countOf(jobs)}${where} with ${what} (${namesText(jobs)})?`;
  await requireYes(`${forecast} ${question}`, options);
}

async function remove(context: Context, options: DeleteOptions, names: string[]): Promise<void> {
  if (options.dryRun !== 'none' && options.wait) {
    throw new CliError('--wait has nothing to wait for with --dry-run; leave one out');
  }
  const store = await context.store();
  const jobs = await jobsToDelete(store, options, names);
  if (options.all && jobs.length === 0) return say('No jobs found: nothing was deleted.');
  await requireMeant(store, jobs, options);
  const goals = options.dryRun === 'none' ? new Map<string, Goal>() : await readGoals(store, jobs);
  const { takeOver } = options;
  const changes = jobs.map(
    (job): GoalChange => ({ job, content: { kind: 'tombstone' }, ...(takeOver && { takeOver }) }),
  );
  const receipts = await writeGoals(context, { changes, goals, origin: origin(options) }, options);
  const removed = receipts.filter(({ outcome }) => outcome === 'removed');
  if (options.wait) await waitFor(context, targetsOf(removed), { until: isGone, timeoutMs: options.timeout });
  const absent = receipts.filter(({ outcome }) => outcome === 'absent');
  if (absent.length === 0 || options.ignoreNotFound) return;
  const others = await store.list();
  throw new CliError(absent.map(({ job }) => notFound(job, others)).join('; '));
}

export function addDeleteCommand(program: Command): void {
  program
    .command('delete')
    .description('Remove jobs: their cells go with everything in them, their history stays')
    .argument('[jobs...]', 'NAME or TENANT/NAME')
    .addOption(fileOption())
    .addOption(recursiveOption())
    .addOption(new Option('--all', 'all jobs of the tenant that -n names, or of all tenants with -A; asks first'))
    .addOption(reasonOption())
    .addOption(takeOverOption())
    .addOption(idempotencyOption())
    .addOption(dryRunOption())
    .addOption(new Option('--wait', 'wait until the cells are gone'))
    .addOption(timeoutOption())
    .addOption(new Option('--ignore-not-found', 'a job that is not there is no error'))
    .addOption(yesOption())
    .addOption(outputOption('name', 'json'))
    .action(action<DeleteOptions>(remove));
}
