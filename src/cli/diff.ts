import { type Command, CommanderError } from 'commander';
import { action, type Context } from './context.ts';
import { actionText, specDiff } from './diff-text.ts';
import { readJobs } from './intake.ts';
import { type FileOptions, fileOption, type GlobalOptions, recursiveOption } from './options.ts';
import { print } from './output.ts';

/** As diff and `kubectl diff` have it: 0 the same, 1 different, more than that an error. */
const DIFFERENT = 1;
const FAILED = 2;

async function diff(context: Context, options: GlobalOptions & FileOptions): Promise<void> {
  const jobs = await readJobs(options);
  const store = await context.store();
  for (const { name, spec, position } of jobs) {
    const change = { storeId: store.storeId, name, spec, file: position.file, stored: await store.find(name) };
    const text = specDiff(change);
    if (text === '') continue;
    process.exitCode = DIFFERENT;
    await print(text + actionText(change));
  }
}

export function addDiffCommand(program: Command): void {
  program
    .command('diff')
    .description('Show what files would change in the goals, and what that does to the cells (exit 1 when anything)')
    .addOption(fileOption().makeOptionMandatory())
    .addOption(recursiveOption())
    .exitOverride((error) => {
      throw error.exitCode === 0 ? error : new CommanderError(FAILED, error.code, error.message);
    })
    .action(action<GlobalOptions & FileOptions>(diff, FAILED));
}
