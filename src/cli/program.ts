import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { addApplyCommand } from './apply.ts';
import { addArchiveCommand } from './archive.ts';
import { addBrakeCommand } from './brake.ts';
import { addCompletionCommand } from './completion.ts';
import { addDatabaseCommands } from './database.ts';
import { addDeleteCommand } from './delete.ts';
import { addDescribeCommand } from './describe.ts';
import { addDiffCommand } from './diff.ts';
import { exitCodeOf, showError } from './errors.ts';
import { addEventsCommand } from './events.ts';
import { addExplainCommand } from './explain.ts';
import { addExportCommand } from './export.ts';
import { addGetCommand } from './get.ts';
import { addHistoryCommand } from './history.ts';
import { addImportCommand } from './import.ts';
import { addLogsCommand } from './logs.ts';
import { addGlobalOptions } from './options.ts';
import { addOrphansCommand } from './orphans.ts';
import { addOverrideCommand } from './override.ts';
import { addPlatformCommand } from './platform.ts';
import { addRollbackCommand } from './rollback.ts';
import { addRunCommand } from './run-command.ts';
import { addStatusCommand } from './status.ts';
import { addStoreCommand } from './store.ts';
import { addUndeleteCommand } from './undelete.ts';
import { addUninstallCommand } from './uninstall.ts';

const ENVIRONMENT = `
Environment:
  DATABASE_URL       postgres://… of the goal store (default: an embedded server)
  DATABASE_ADMIN_URL the same as its owner, over a direct connection: for migrate, archive and import
  BULKHEAD_AUTHOR    who changes goals (default: user@host)
  KUBECONFIG         as for kubectl
  NO_COLOR           no colours`;

/** Groups in the order of a first day: say what you want, look, run it. */
const GROUPS: readonly (readonly [title: string, add: readonly ((program: Command) => void)[]])[] = [
  ['Goals:', [addApplyCommand, addDiffCommand, addDeleteCommand, addOverrideCommand, addPlatformCommand]],
  ['History:', [addHistoryCommand, addExplainCommand, addRollbackCommand, addUndeleteCommand]],
  [
    'Looking:',
    [addGetCommand, addDescribeCommand, addEventsCommand, addLogsCommand, addStatusCommand, addOrphansCommand],
  ],
  ['Safety:', [addBrakeCommand, addStoreCommand, addExportCommand, addImportCommand, addArchiveCommand]],
  ['Running:', [addRunCommand, addDatabaseCommands, addUninstallCommand, addCompletionCommand]],
];

/** What asks for completions, in front of words that need not make sense yet. */
const COMPLETE = '__complete';

/**
 * The whole command line. Throws CommanderError instead of ending the process.
 * @param name how it was called: `bulkhead`, or `kubectl bulkhead` as kubectl's plugin
 */
export function createProgram(name = process.env.BULKHEAD_CALLED_AS || 'bulkhead'): Command {
  const program = new Command(name)
    .description('One isolated cluster per stream job. Goals live in Postgres; Bulkhead keeps Kubernetes as they say.')
    .version(`bulkhead ${packageJson.version}`, '--version', 'print the version')
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(--help tells more)')
    .exitOverride();
  addGlobalOptions(program);
  for (const [title, commands] of GROUPS) {
    program.commandsGroup(title);
    for (const add of commands) add(program);
  }
  return program.addHelpText('after', ENVIRONMENT);
}

/** Runs the command line of this process, and sets its exit code. */
export async function main(): Promise<void> {
  const isDebug = process.argv.includes('--debug');
  // A reader that has seen enough (`| head`) closes the pipe: that is the end of the work, and no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  // Nothing is thrown past every handler but by mistake; even then a person gets a sentence first.
  process.on('uncaughtException', (error) => {
    showError(error, isDebug);
    process.exit(1);
  });
  try {
    const [, , first, ...words] = process.argv;
    if (first === COMPLETE) await (await import('./complete.ts')).complete(createProgram(), words);
    else await createProgram().parseAsync();
  } catch (error) {
    showError(error, isDebug);
    process.exitCode = exitCodeOf(error);
  }
}
