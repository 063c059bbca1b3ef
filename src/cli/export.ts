import type { Command } from 'commander';
import { toYaml } from '../job/document.ts';
import type { Goal } from '../job/goal.ts';
import { action, type Context } from './context.ts';
import type { GlobalOptions } from './options.ts';
import { print, say } from './output.ts';

const document = ({ job, content }: Goal): string[] =>
  content.kind === 'spec' ? [`---\n${toYaml({ tenant: job.tenant, name: job.name, spec: content.spec })}`] : [];

/** A copy for safe keeping must be whole, so unlike other lists this one has all tenants unless -n names one. */
async function exportGoals(context: Context, options: GlobalOptions): Promise<void> {
  const store = await context.store();
  const tenant = options.allNamespaces ? undefined : options.namespace;
  const documents = (await store.list(tenant === undefined ? {} : { tenant })).flatMap(document);
  if (documents.length === 0) say(tenant === undefined ? 'No jobs found.' : `No jobs found in tenant ${tenant}.`);
  else await print(documents.join(''));
}

export function addExportCommand(program: Command): void {
  program
    .command('export')
    .description('Print the goals of all jobs (with -n: of one tenant) as YAML that `apply -f -` takes')
    .action(action<GlobalOptions>(exportGoals));
}
