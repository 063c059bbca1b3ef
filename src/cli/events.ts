import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import type { JobId } from '../job/ids.ts';
import { jobName } from '../job/ids.ts';
import type { StoredEvent } from '../ports/store.ts';
import { action, type Context } from './context.ts';
import { CliError } from './errors.ts';
import { requireGoal } from './jobs.ts';
import { type GlobalOptions, outputOption, parseJob, tenantOf, wholeNumber } from './options.ts';
import { ageOf, print, rowsOf, say, table, toJsonText } from './output.ts';

const WATCH_EVERY_MS = 1_000;
/** Read anew each time while watching; more than this between two looks are not all shown. */
const WATCH_LIMIT = 1_000;
const HEADER = ['AGE', 'TYPE', 'REASON', 'JOB', 'REVISION', 'MESSAGE'];

interface EventOptions extends GlobalOptions {
  readonly limit: number;
  readonly watch?: true;
  readonly output?: 'json';
}

/** The table of `events`, oldest first. @param now milliseconds since 1970 */
export const eventsTable = (events: readonly StoredEvent[], now: number): string =>
  table(
    HEADER,
    events.map((e) => [ageOf(e.at, now), e.type, e.reason, jobName(e.job), String(e.revision), e.message]),
  );

const keyOf = (event: StoredEvent): string =>
  [event.at.getTime(), event.jobId, event.revision, event.reason, event.message].join('\0');

/** Those of `events` that were not among those shown. Equal ones count as often as they are there. */
export function unseen(shown: readonly StoredEvent[], events: readonly StoredEvent[]): StoredEvent[] {
  const counts = new Map<string, number>();
  for (const event of shown) counts.set(keyOf(event), (counts.get(keyOf(event)) ?? 0) + 1);
  const newest = Math.max(...shown.map((event) => event.at.getTime()), Number.NEGATIVE_INFINITY);
  return events.filter((event) => {
    const left = counts.get(keyOf(event)) ?? 0;
    counts.set(keyOf(event), left - 1);
    return left <= 0 && event.at.getTime() >= newest;
  });
}

type Filter = { readonly jobId?: JobId; readonly tenant?: string };

async function filterOf(context: Context, options: EventOptions, name: string | undefined): Promise<Filter> {
  if (name !== undefined) {
    const goal = await requireGoal(await context.store(), parseJob(name, options));
    return { jobId: goal.job.id };
  }
  const tenant = tenantOf(options);
  return tenant === null ? {} : { tenant };
}

async function events(context: Context, options: EventOptions, [name]: string[]): Promise<void> {
  if (options.watch && options.output) throw new CliError('--watch prints a table; leave -o json out');
  const store = await context.store();
  const filter = await filterOf(context, options, name);
  let shown = await store.events({ ...filter, limit: options.limit });
  if (options.output === 'json') return print(toJsonText(shown));
  if (shown.length > 0) await print(eventsTable(shown, Date.now()));
  else say(filter.tenant === undefined ? 'No events found.' : `No events found in tenant ${filter.tenant}.`);
  while (options.watch) {
    await sleep(WATCH_EVERY_MS);
    const latest = await store.events({ ...filter, limit: WATCH_LIMIT });
    const fresh = new Set(unseen(shown, latest));
    await print(rowsOf(eventsTable(latest, Date.now()), (row) => latest[row] !== undefined && fresh.has(latest[row])));
    shown = latest;
  }
}

export function addEventsCommand(program: Command): void {
  program
    .command('events')
    .description('List what was done and seen, the newest last: of one job, a tenant, or all (-A)')
    .argument('[job]', 'NAME or TENANT/NAME')
    .addOption(
      new Option('--limit <count>', 'how many, counted from the newest').argParser(wholeNumber(1)).default(100),
    )
    .addOption(new Option('-w, --watch', 'go on, with a line for every event'))
    .addOption(outputOption('json'))
    .action(action<EventOptions>(events));
}
