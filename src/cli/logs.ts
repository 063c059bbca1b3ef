import { type Command, Option } from 'commander';
import type { Transport } from '../cluster/transport.ts';
import { tierOf } from '../job/defaults.ts';
import { jobName } from '../job/ids.ts';
import { cellPlace } from '../plan/names.ts';
import { reducePod } from '../plan/pods.ts';
import { ClusterError } from '../ports/cluster.ts';
import { action, type Context } from './context.ts';
import { CliError } from './errors.ts';
import { requireGoal } from './jobs.ts';
import { listPods, type RawPod } from './live-cell.ts';
import { duration, type GlobalOptions, parseJob, wholeNumber } from './options.ts';
import { print, say } from './output.ts';

const CONTAINER = 'worker';

interface LogOptions extends GlobalOptions {
  readonly follow?: true;
  readonly previous?: true;
  readonly all?: true;
  readonly tail?: number;
  /** Milliseconds. */
  readonly since?: number;
}

const nameOf = (pod: RawPod): string => pod.metadata.name;

/** The worker that says most: one that is ready, else the newest. */
function choose(pods: readonly RawPod[]): RawPod | undefined {
  const newestFirst = pods.toSorted((a, b) =>
    a.metadata.creationTimestamp < b.metadata.creationTimestamp ? 1 : nameOf(a) < nameOf(b) ? -1 : 0,
  );
  return newestFirst.find((pod) => reducePod(pod).ready) ?? newestFirst[0];
}

function select(pods: readonly RawPod[], all: boolean): RawPod[] {
  if (all) return pods.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const chosen = choose(pods);
  if (!chosen) return [];
  if (pods.length > 1) say(`Found ${pods.length} workers, showing ${nameOf(chosen)}; --all shows all of them.`);
  return [chosen];
}

function queryOf(options: LogOptions): Record<string, string> {
  return {
    container: CONTAINER,
    ...(options.follow && { follow: 'true' }),
    ...(options.previous && { previous: 'true' }),
    ...(options.tail !== undefined && options.tail >= 0 && { tailLines: String(options.tail) }),
    ...(options.since !== undefined && { sinceSeconds: String(Math.max(1, Math.round(options.since / 1000))) }),
  };
}

/** What a cluster says of a worker without a log, as one sentence. */
function noLog(pod: RawPod, error: ClusterError): string {
  const words = error.message.replace(/^GET \S+: \d+ /, '');
  return error.kind === 'gone' ? `${nameOf(pod)} is gone` : `${nameOf(pod)} has no such log: ${words}`;
}

interface Stream {
  readonly transport: Transport;
  readonly prefixed: boolean;
  readonly query: Record<string, string>;
}

/** @returns why there is no log; null when there was one */
async function copyLog(stream: Stream, pod: RawPod): Promise<string | null> {
  const path = `/api/v1/namespaces/${pod.metadata.namespace}/pods/${nameOf(pod)}/log`;
  const prefix = stream.prefixed ? `[${nameOf(pod)}] ` : '';
  try {
    const lines = stream.transport.lines(path, stream.query, new AbortController().signal);
    for await (const line of lines) await print(`${prefix}${line}\n`);
    return null;
  } catch (error) {
    if (error instanceof ClusterError && (error.kind === 'invalid' || error.kind === 'gone')) return noLog(pod, error);
    throw error;
  }
}

async function logs(context: Context, options: LogOptions, [name = '']: string[]): Promise<void> {
  const store = await context.store();
  const goal = await requireGoal(store, parseJob(name, options));
  const transport = await context.transport();
  const pods = select(await listPods(transport, store.storeId, goal), options.all === true);
  if (pods.length === 0) {
    const { namespace } = cellPlace(store.storeId, goal.job, tierOf(goal.content) ?? 'namespace');
    throw new CliError(
      `${jobName(goal.job)} has no worker in namespace ${namespace} of context ${transport.target.contextName}; see why with: bulkhead describe ${jobName(goal.job)}`,
    );
  }
  const stream = { transport, prefixed: pods.length > 1, query: queryOf(options) };
  const missing: string[] = [];
  const copy = async (pod: RawPod): Promise<void> => {
    const why = await copyLog(stream, pod);
    if (why !== null) missing.push(why);
  };
  // Those that go on must all be read at once; the others one after the other, so that their lines stay together.
  if (options.follow) await Promise.all(pods.map(copy));
  else for (const pod of pods) await copy(pod);
  if (missing.length === pods.length) throw new CliError(missing.join('; '));
  for (const why of missing) say(why);
}

export function addLogsCommand(program: Command): void {
  program
    .command('logs')
    .description('Print what a worker of a job writes')
    .argument('<job>', 'NAME or TENANT/NAME')
    .addOption(new Option('-f, --follow', 'go on as more is written'))
    .addOption(
      new Option('--tail <count>', 'how many lines, counted from the newest; -1 for all').argParser(wholeNumber(-1)),
    )
    .addOption(new Option('--since <time>', 'only what is newer, such as 5m').argParser(duration))
    .addOption(new Option('-p, --previous', 'of the container that ran before the last restart'))
    .addOption(new Option('--all', 'of all workers, each line with the name of its pod'))
    .action(action<LogOptions>(logs));
}
