import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import { ArchiveError, readArchive } from '../job/archive-document.ts';
import type { StoreId } from '../job/ids.ts';
import { openArchivist } from '../store/archive.ts';
import { ArchiveProgress } from './archive-progress.ts';
import { action, type Context } from './context.ts';
import { asOwner } from './database.ts';
import { CliError, sentence } from './errors.ts';
import { type FileOptions, fileOption, type GlobalOptions } from './options.ts';
import { storeCells } from './orphans.ts';
import { print, say } from './output.ts';
import { readFailure } from './sources.ts';

const STDIN = '-';

/** The text of a file piece by piece: an archive may be larger than memory. @throws SourceError */
async function* textOf(path: string): AsyncGenerator<string, void> {
  const name = path === STDIN ? 'stdin' : path;
  const stream: Readable = path === STDIN ? process.stdin : createReadStream(path);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    for await (const chunk of stream) yield decoder.decode(chunk as Buffer, { stream: true });
    yield decoder.decode();
  } catch (error) {
    if (error instanceof TypeError) throw new CliError(`cannot read ${name}: it is not UTF-8, so it is no archive`);
    throw readFailure(name, error);
  }
}

/** @returns the id of the store that was restored. @throws StoreError | CliError; nothing is stored then */
async function restore(context: Context, path: string): Promise<StoreId> {
  const urls = await context.database();
  const progress = new ArchiveProgress('imported');
  const archive = await readArchive(textOf(path), path === STDIN ? 'stdin' : path);
  await asOwner(urls, async (url) => {
    const archivist = await openArchivist({ url, applicationName: 'bulkhead import' });
    try {
      const { jobs, revisions } = await archivist.restoreArchive(progress.counting(archive));
      progress.end();
      await print(`store ${archive.storeId} restored: ${jobs} jobs, ${revisions} revisions\n`);
    } finally {
      await archivist.close();
    }
  });
  return archive.storeId;
}

/** Whether the cluster of the kubeconfig knows of the store already, and so what comes next. */
async function nextStep(context: Context, storeId: StoreId): Promise<string> {
  const confirm = 'bulkhead store confirm --reason …';
  try {
    const transport = await context.transport();
    const [cells, fence] = await Promise.all([storeCells(transport, storeId), context.fence()]);
    const where = `the cluster of context ${transport.target.contextName}`;
    return cells.length > 0 || fence.size > 0
      ? `Next: ${where} was managed from this store before (${cells.length} cells); make sure that the old database is out of use, then: ${confirm}`
      : `Next: ${where} has nothing of this store; start an operator with: bulkhead run`;
  } catch (error) {
    return `Next: start an operator with: bulkhead run. Where cells of this store exist it waits for: ${confirm} (no cluster was looked at: ${sentence(error, context.place)})`;
  }
}

async function importStore(context: Context, { filename = [] }: GlobalOptions & FileOptions): Promise<void> {
  const [path, ...rest] = filename;
  if (path === undefined || rest.length > 0) throw new CliError('name one file, or - for stdin, with -f');
  try {
    say(await nextStep(context, await restore(context, path)));
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    say(error.message);
    throw new CliError('nothing was restored: this is not a whole archive as export --history writes it', {
      cause: error,
    });
  }
}

export function addImportCommand(program: Command): void {
  program
    .command('import')
    .description(
      'Fill an empty store with what `export --history` wrote: ids, numbers and times as they were, all or nothing; as the owner (DATABASE_ADMIN_URL)',
    )
    .addOption(fileOption('the archive, or - for stdin').makeOptionMandatory())
    .action(action<GlobalOptions & FileOptions>(importStore));
}
