import { type Command, Option } from 'commander';
import { archiveYaml } from '../job/archive-document.ts';
import { toYaml } from '../job/document.ts';
import type { Goal } from '../job/goal.ts';
import { openArchivist } from '../store/archive.ts';
import { ArchiveProgress } from './archive-progress.ts';
import { action, type Context } from './context.ts';
import { CliError } from './errors.ts';
import type { GlobalOptions } from './options.ts';
import { print, say } from './output.ts';

interface ExportOptions extends GlobalOptions {
  readonly history?: true;
}

/** Enough that many small documents are no many small writes. */
const CHUNK_CHARACTERS = 65_536;

/** What the job's own layer says: what lies above it would become part of it when it is applied again. */
const document = ({ job, layers: { job: own } }: Goal): string[] =>
  own.content.kind === 'spec' ? [`---\n${toYaml({ tenant: job.tenant, name: job.name, spec: own.content.spec })}`] : [];

async function* inChunks(pieces: AsyncIterable<string>): AsyncGenerator<string, void> {
  let chunk = '';
  for await (const piece of pieces) {
    chunk += piece;
    if (chunk.length < CHUNK_CHARACTERS) continue;
    yield chunk;
    chunk = '';
  }
  if (chunk !== '') yield chunk;
}

async function exportHistory(context: Context): Promise<void> {
  const { url } = await context.database();
  const archivist = await openArchivist({ url, applicationName: 'bulkhead export' });
  const progress = new ArchiveProgress('exported');
  try {
    await archivist.readArchive(async (archive) => {
      for await (const chunk of inChunks(archiveYaml(progress.counting(archive)))) await print(chunk);
    });
  } finally {
    await archivist.close();
  }
  progress.end();
}

/** A copy for safe keeping must be whole, so unlike other lists this one has all tenants unless -n names one. */
async function exportGoals(context: Context, options: ExportOptions): Promise<void> {
  if (options.history) {
    if (options.namespace !== undefined) throw new CliError('--history is of the whole store; leave -n out');
    return exportHistory(context);
  }
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
    .addOption(new Option('--history', 'the whole store, history and platform included, as YAML that `import` takes'))
    .action(action<ExportOptions>(exportGoals));
}
