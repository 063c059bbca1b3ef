import { type Command, Option } from 'commander';
import { explain } from '../job/explain.ts';
import { action, type Context } from './context.ts';
import { explainObject, explainText } from './explain-text.ts';
import { requireWanted } from './jobs.ts';
import { type GlobalOptions, outputOption, parseJob } from './options.ts';
import { print, toJsonText, toYamlText } from './output.ts';

interface ExplainOptions extends GlobalOptions {
  readonly overridden?: true;
  readonly output?: 'json' | 'yaml';
}

async function explainJob(context: Context, options: ExplainOptions, [name = '']: string[]): Promise<void> {
  const store = await context.store();
  const goal = await requireWanted(store, parseJob(name, options));
  const [seen] = await store.statuses([goal.job.id]);
  const keepers = seen?.status.keepers ?? [];
  const fields = explain(goal);
  if (options.output === 'json') return print(toJsonText(explainObject(goal, fields, keepers)));
  if (options.output === 'yaml') return print(toYamlText(explainObject(goal, fields, keepers)));
  await print(explainText(goal, fields, options.overridden === true, keepers));
}

export function addExplainCommand(program: Command): void {
  program
    .command('explain')
    .description('Tell of every field of a job which layer and revision it comes from, who said it and why')
    .argument('<job>', 'NAME or TENANT/NAME')
    .addOption(new Option('--overridden', 'also what a higher layer hides'))
    .addOption(outputOption('json', 'yaml'))
    .action(action<ExplainOptions>(explainJob));
}
