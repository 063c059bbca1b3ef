import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { canonicalJson } from '../job/canonical.ts';
import { effectiveSpec } from '../job/defaults.ts';
import { newestRevision } from '../job/goal.ts';
import { jobName } from '../job/ids.ts';
import type { Store } from '../store/open.ts';
import { action, type Context } from './context.ts';
import { CliError } from './errors.ts';
import { currentStatus, type JobView, jobObject, listGoals, requireGoal, viewsOf } from './jobs.ts';
import { layersText } from './layer-words.ts';
import { type GlobalOptions, outputOption, parseJob, tenantOf } from './options.ts';
import { ageOf, type OutputFormat, print, rowsOf, say, table, toJsonText, toYamlText } from './output.ts';
import { isServed } from './replicas.ts';

const WATCH_EVERY_MS = 1_000;

const HEADER = ['TENANT', 'NAME', 'READY', 'PHASE', 'WORKERS', 'REVISION', 'AGE'];
const WIDE_HEADER = [...HEADER, 'LAYERS', 'CELL', 'IMAGE', 'TIER', 'RESTARTS', 'REASON'];

/** A job nobody has looked at since its goal changed is unknown, whatever was seen of an earlier revision. */
function row(view: JobView, now: number, wide: boolean): string[] {
  const { goal, seen } = view;
  const status = currentStatus(view);
  const ready = status?.conditions.find((condition) => condition.type === 'Ready');
  const workers = seen?.status.workers;
  const cells = [
    goal.job.tenant,
    goal.job.name,
    ready?.status ?? 'Unknown',
    status?.phase ?? 'Unknown',
    workers ? `${workers.ready}/${workers.desired}` : '',
    String(goal.revision),
    ageOf(newestRevision(goal).createdAt, now),
  ];
  if (!wide) return cells;
  const spec = goal.content.kind === 'spec' ? effectiveSpec(goal.content.spec) : null;
  const restarts = workers ? String(workers.restarts) : '';
  return [
    ...cells,
    layersText(goal.layers),
    seen?.status.cell ?? '',
    spec?.container.image ?? '',
    spec?.tier ?? '',
    restarts,
    ready?.reason ?? 'NotObservedYet',
  ];
}

/** The table of `get`. @param now milliseconds since 1970 */
export function jobTable(views: readonly JobView[], now: number, format: 'wide' | undefined): string {
  const wide = format === 'wide';
  return table(
    wide ? WIDE_HEADER : HEADER,
    views.map((view) => row(view, now, wide)),
  );
}

/** One object for one named job, a List for any other question, as kubectl does. */
function rendered(views: readonly JobView[], format: OutputFormat | undefined, single: boolean, now: number): string {
  const objects = views.map(jobObject);
  const value = single ? objects[0] : { apiVersion: 'v1', kind: 'List', items: objects };
  switch (format) {
    case 'json':
      return toJsonText(value);
    case 'yaml':
      return toYamlText(value);
    case 'name':
      return views.map(({ goal }) => `${jobName(goal.job)}\n`).join('');
    default:
      return jobTable(views, now, format);
  }
}

interface GetOptions extends GlobalOptions {
  readonly output?: OutputFormat;
  readonly watch?: true;
}

async function read(store: Store, names: readonly string[], options: GetOptions): Promise<JobView[]> {
  if (names.length === 0) return viewsOf(store, await listGoals(store, tenantOf(options)));
  const jobs = names.map((name) => parseJob(name, options));
  return viewsOf(store, await Promise.all(jobs.map((job) => requireGoal(store, job))));
}

/** Says that the list is empty, and whether another one would not be. */
async function sayNone(store: Store, tenant: string | null): Promise<void> {
  if (tenant === null) return say('No jobs found.');
  const others = (await store.list()).length;
  say(`No jobs found in tenant ${tenant}.${others > 0 ? ` Other tenants have ${others}: use -n TENANT or -A.` : ''}`);
}

/** A line for every job that changed, until the command is ended. */
async function watch(store: Store, names: readonly string[], options: GetOptions, first: JobView[]): Promise<void> {
  const shown = new Map(first.map((view) => [view.goal.job.id, canonicalJson(view)]));
  const wide = options.output === 'wide' ? 'wide' : undefined;
  for (;;) {
    await sleep(WATCH_EVERY_MS);
    const views = await read(store, names, options);
    const changed = views.map((view) => {
      const text = canonicalJson(view);
      const same = shown.get(view.goal.job.id) === text;
      shown.set(view.goal.job.id, text);
      return !same;
    });
    await print(rowsOf(jobTable(views, Date.now(), wide), (row) => changed[row] === true));
  }
}

async function get(context: Context, options: GetOptions, names: string[]): Promise<void> {
  const { output } = options;
  if (options.watch && output !== undefined && output !== 'wide') {
    throw new CliError(`--watch prints a table; leave -o ${output} out`);
  }
  const store = await context.store();
  const views = await read(store, names, options);
  const isTable = output === undefined || output === 'wide';
  if (views.length === 0 && isTable) await sayNone(store, tenantOf(options));
  else await print(rendered(views, output, names.length === 1, Date.now()));
  if (isTable && views.length > 0 && !isServed(await store.replicas())) {
    say('No operator runs: what is shown was seen by the last one. Start one with: bulkhead run');
  }
  if (options.watch) await watch(store, names, options, views);
}

export function addGetCommand(program: Command): void {
  program
    .command('get')
    .description('List jobs: are they ready, and if not, in which phase; AGE counts from the newest revision')
    .argument('[jobs...]', 'NAME or TENANT/NAME')
    .addOption(outputOption('wide', 'yaml', 'json', 'name'))
    .addOption(new Option('-w, --watch', 'go on, with a line for every change'))
    .action(action<GetOptions>(get));
}
