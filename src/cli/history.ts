import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Goal } from '../job/goal.ts';
import { type JobId, parseJobId } from '../job/ids.ts';
import type { Store } from '../store/open.ts';
import { action, type Context } from './context.ts';
import { CliError } from './errors.ts';
import { historyObject, historyTable } from './history-text.ts';
import { anyGoal } from './jobs.ts';
import { type GlobalOptions, outputOption, parseJob } from './options.ts';
import { print, toJsonText, toYamlText } from './output.ts';

interface HistoryOptions extends GlobalOptions {
  readonly id?: JobId;
  readonly output?: 'json' | 'yaml';
}

function idArgument(text: string): JobId {
  const id = parseJobId(text);
  if (id) return id;
  throw new InvalidArgumentError('Expected the id of a job, as describe and -o yaml show it.');
}

async function goalOf(store: Store, options: HistoryOptions, name: string | undefined): Promise<Goal> {
  if ((name === undefined) === (options.id === undefined)) throw new CliError('name a job, or its id with --id');
  if (name !== undefined) return anyGoal(store, parseJob(name, options));
  const [goal] = options.id === undefined ? [] : await store.goals([options.id]);
  if (goal) return goal;
  throw new CliError(`the store has never had a job with the id ${options.id}`);
}

async function history(context: Context, options: HistoryOptions, [name]: string[]): Promise<void> {
  const store = await context.store();
  const { job } = await goalOf(store, options, name);
  const revisions = await store.history(job.id);
  if (options.output === 'json') return print(toJsonText(historyObject(job, revisions)));
  if (options.output === 'yaml') return print(toYamlText(historyObject(job, revisions)));
  await print(historyTable(revisions, Date.now()));
}

export function addHistoryCommand(program: Command): void {
  program
    .command('history')
    .description(
      'List every revision of a job, oldest first: who changed what on which layer, and why; -o yaml has it all',
    )
    .argument('[job]', 'NAME or TENANT/NAME; also of a job that was removed lately')
    .addOption(
      new Option('--id <uuid>', 'by its id: a job that was removed long ago, or whose name another has').argParser(
        idArgument,
      ),
    )
    .addOption(outputOption('json', 'yaml'))
    .action(action<HistoryOptions>(history));
}
