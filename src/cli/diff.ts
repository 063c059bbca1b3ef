import { type Command, CommanderError } from 'commander';
import type { Goal } from '../job/goal.ts';
import { jobName } from '../job/ids.ts';
import type { Store } from '../store/open.ts';
import { action, type Context } from './context.ts';
import { actionText, specDiff } from './diff-text.ts';
import { CliError } from './errors.ts';
import { readJobs } from './intake.ts';
import { anyGoal } from './jobs.ts';
import {
  type FileOptions,
  fileOption,
  type GlobalOptions,
  type JobAt,
  parseJobAt,
  recursiveOption,
} from './options.ts';
import { print } from './output.ts';
import { revisionDiff, type StandingGoal, standingAt } from './revision-diff.ts';
import { platformsOf, readGoals } from './write-goals.ts';

/** As diff and `kubectl diff` have it: 0 the same, 1 different, more than that an error. */
const DIFFERENT = 1;
const FAILED = 2;

type DiffOptions = GlobalOptions & FileOptions;

async function diffFiles(context: Context, options: DiffOptions): Promise<void> {
  const jobs = await readJobs(options);
  const store = await context.store();
  const [goals, platform] = await Promise.all([
    readGoals(
      store,
      jobs.map(({ name }) => name),
    ),
    platformsOf(store),
  ]);
  for (const { name, spec, position } of jobs) {
    const stored = goals.get(jobName(name)) ?? null;
    const around = stored?.platform ?? platform(name.tenant);
    const change = { storeId: store.storeId, name, spec, file: position.file, stored, platform: around };
    const text = specDiff(change);
    if (text === '') continue;
    process.exitCode = DIFFERENT;
    await print(text + actionText(change));
  }
}

/** Under the platform of today on both sides: what differs is what the job's own layers say. */
async function standing(store: Store, goal: Goal, at: JobAt): Promise<StandingGoal> {
  const revision = at.revision ?? goal.revision;
  const found = standingAt(goal.job, await store.history(goal.job.id), revision, goal.platform);
  if (found) return found;
  const name = jobName(goal.job);
  throw new CliError(
    `${name} has no revision ${revision}: its newest is ${goal.revision}; see: bulkhead history ${name}`,
  );
}

async function diffRevisions(context: Context, options: DiffOptions, texts: readonly string[]): Promise<void> {
  const [from, to, ...rest] = texts.map((text) => parseJobAt(text, options));
  if (!from || rest.length > 0) throw new CliError('compare one or two revisions: JOB@3, or JOB@3 JOB@7');
  if (from.revision === null) throw new CliError(`name the revision to compare with: ${jobName(from.job)}@N`);
  const store = await context.store();
  const goal = await anyGoal(store, from.job);
  const other = to && jobName(to.job) !== jobName(from.job) ? await anyGoal(store, to.job) : goal;
  const before = await standing(store, goal, from);
  const after = await standing(store, other, to ?? { job: from.job, revision: null });
  const text = revisionDiff(before, after);
  if (text === '') return;
  process.exitCode = DIFFERENT;
  await print(text);
}

async function diff(context: Context, options: DiffOptions, texts: string[]): Promise<void> {
  if ((options.filename === undefined) === (texts.length === 0)) {
    throw new CliError('name files with -f, or revisions such as JOB@3 JOB@7: one of the two');
  }
  await (texts.length === 0 ? diffFiles(context, options) : diffRevisions(context, options, texts));
}

export function addDiffCommand(program: Command): void {
  program
    .command('diff')
    .description(
      'Show what files would change in goals and cells, or how a job differs between revisions (exit 1 when anything)',
    )
    .argument('[job@revision...]', 'JOB@3 against now, or JOB@3 JOB@7: the merged layers as they stood then')
    .addOption(fileOption())
    .addOption(recursiveOption())
    .exitOverride((error) => {
      throw error.exitCode === 0 ? error : new CommanderError(FAILED, error.code, error.message);
    })
    .action(action<DiffOptions>(diff, FAILED));
}
