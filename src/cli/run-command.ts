import { type Command, InvalidArgumentError, Option } from 'commander';
import { type ClusterId, clusterId } from '../job/ids.ts';
import { DNS_LABEL } from '../job/spec-values.ts';
import { isReserved } from '../plan/names.ts';
import { action } from './context.ts';
import { LOG_FORMATS, LOG_LEVELS } from './log-options.ts';
import type { HealthAddress, RunOptions } from './run.ts';

/** `host:port`, `[::1]:port`, `:port` for all addresses; `none` for no health at all. */
export function healthAddress(text: string): HealthAddress | 'none' {
  if (text === 'none') return text;
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) {
    throw new InvalidArgumentError('Expected HOST:PORT, such as 127.0.0.1:8080, or none.');
  }
  return { host: bracketed ?? (plain || '0.0.0.0'), port };
}

function acceptedCluster(text: string): ClusterId {
  try {
    return clusterId(text);
  } catch {
    // The TypeError is for programmers; a person is told what to look for.
    throw new InvalidArgumentError('Expected the id of a cluster, as the refusal names it.');
  }
}

/** `a,b`: names of namespaces, each once. */
export function namespaceNames(text: string): string[] {
  const names = [...new Set(text.split(',').map((name) => name.trim()))];
  const wrong = names.find((name) => !DNS_LABEL.test(name) || name.length > 63 || isReserved(name));
  if (wrong === undefined) return names;
  throw new InvalidArgumentError(`Expected names of tenants' namespaces, such as ads,search; found "${wrong}".`);
}

export function addRunCommand(program: Command): void {
  program
    .command('run')
    .description('Run the operator: make and keep every cell as its goal says, until it is stopped')
    .addOption(
      new Option(
        '--health-address <host:port>',
        'where /healthz and /readyz are served, or none (default: 127.0.0.1 and a free port; in a pod 0.0.0.0:8080)',
      )
        .env('BULKHEAD_HEALTH_ADDRESS')
        .argParser(healthAddress),
    )
    .addOption(
      new Option(
        '--namespaces <names>',
        'work in these tenants’ namespaces alone, with rights there and none to make any: all jobs have tier shared then',
      )
        .env('BULKHEAD_NAMESPACES')
        .argParser(namespaceNames),
    )
    .addOption(
      new Option('--accept-cluster <uid>', 'move all jobs to this cluster, though they live in another').argParser(
        acceptedCluster,
      ),
    )
    .addOption(
      new Option('--log-level <level>', 'what is logged, and all above it (default: info; debug with --debug)')
        .env('BULKHEAD_LOG_LEVEL')
        .choices(LOG_LEVELS),
    )
    .addOption(
      new Option('--log-format <format>', 'how lines are logged (default: text on a terminal, json elsewhere)')
        .env('BULKHEAD_LOG_FORMAT')
        .choices(LOG_FORMATS),
    )
    .addOption(new Option('--yes', 'do not ask before working on a cluster that is not on this machine'))
    .action(action<RunOptions>(async (context, options) => (await import('./run.ts')).run(context, options)));
}
