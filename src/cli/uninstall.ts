import { type Command, Option } from 'commander';
import { action } from './context.ts';
import { yesOption } from './options.ts';
import type { UninstallOptions } from './uninstall-run.ts';

export function addUninstallCommand(program: Command): void {
  program
    .command('uninstall')
    .description(
      'Remove Bulkhead from the cluster: the operator, its policies, every cell with its workers, the CRD. Goals stay in Postgres, which need not even answer. Cut off, it goes on when it is said again',
    )
    .addOption(new Option('--keep-workers', 'leave the cells, with workers that run on and nobody to look after them'))
    .addOption(
      new Option('--purge', 'also the inert policy bulkhead-keepalive, which an API server needs for a re-install'),
    )
    .addOption(new Option('--dry-run', 'only show what would go'))
    .addOption(yesOption())
    .action(
      action<UninstallOptions>(async (context, options) =>
        (await import('./uninstall-run.ts')).uninstall(context, options),
      ),
    );
}
