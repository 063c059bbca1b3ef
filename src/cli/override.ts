import { type Command, Option } from 'commander';
import type { Goal, LayerContent } from '../job/goal.ts';
import { jobName } from '../job/ids.ts';
import { compose } from '../job/merge.ts';
import { assignments, type SpecPatch } from '../job/patch.ts';
import type { Base } from '../ports/store.ts';
import { action, type Context, origin } from './context.ts';
import { CliError } from './errors.ts';
import { patchText } from './field-changes.ts';
import { requireWanted } from './jobs.ts';
import { isActive, untilText } from './layer-words.ts';
import { collect, dryRunOption, type GlobalOptions, outputOption, parseJob, reasonOption } from './options.ts';
import { print, say, toJsonText, toYamlText } from './output.ts';
import { overrideObject, overrideText } from './override-text.ts';
import type { DryRun } from './receipts.ts';
import { readStoreClock } from './store-clock.ts';
import { momentOf, type Until, until } from './until.ts';
import { writeGoals } from './write-goals.ts';

interface OverrideOptions extends GlobalOptions {
  readonly set?: readonly string[];
  readonly until?: Until;
  readonly clear?: true;
  readonly reason?: string;
  readonly dryRun: DryRun;
  readonly output?: 'json' | 'yaml';
}

async function show({ job, layers }: Goal, { output }: OverrideOptions): Promise<void> {
  if (output === 'json') return print(toJsonText(overrideObject(job, layers.oncall)));
  if (output === 'yaml') return print(toYamlText(overrideObject(job, layers.oncall)));
  const text = overrideText(job, layers.oncall, Date.now());
  if (text === '') say(`${jobName(job)} has no override.`);
  else await print(text);
}

/** @throws CliError with everything that is wrong with what --set says */
function patchFrom(texts: readonly string[]): SpecPatch {
  const { patch, problems } = assignments(texts);
  if (patch) return patch;
  for (const problem of problems.slice(0, -1)) say(`error: ${problem}`);
  throw new CliError(problems.at(-1) ?? 'nothing is set');
}

/** When the override ends, by the clock of the database, which ends it; null for never. @throws CliError for the past */
async function endOf(context: Context, given: Until): Promise<Date | null> {
  if (given === 'never') return null;
  const now = await readStoreClock((await context.database()).url);
  const ends = momentOf(given, now);
  if (ends && ends.getTime() <= now) throw new CliError(`--until ${ends.toISOString()} is in the past`);
  return ends;
}

/** What the command line says, above what an override that holds already says: nobody's setting ends by another's. */
async function setting(context: Context, goal: Goal, options: OverrideOptions): Promise<LayerContent> {
  if (options.until === undefined) {
    throw new CliError('an override ends: say when with --until 2h, or that it stays with --until never');
  }
  const added = patchFrom(options.set ?? []);
  const ends = await endOf(context, options.until);
  const before = isActive(goal.layers.oncall) ? goal.layers.oncall.content : null;
  if (before?.kind !== 'patch' || before.layer !== 'oncall') {
    return { kind: 'patch', layer: 'oncall', patch: added, until: ends };
  }
  const { author, revision } = goal.layers.oncall ?? { author: '', revision: 0 };
  say(
    `Added to the override that holds already (revision ${revision} by ${author}: ${patchText(before.patch)}, ${untilText(before.until)}); all of it now holds ${untilText(ends)}.`,
  );
  return { kind: 'patch', layer: 'oncall', patch: compose(before.patch, added), until: ends };
}

async function contentOf(context: Context, goal: Goal, options: OverrideOptions): Promise<LayerContent> {
  if (!options.clear) return await setting(context, goal, options);
  if (options.set || options.until) throw new CliError('--clear ends the whole override; leave --set and --until out');
  return { kind: 'cleared', layer: 'oncall' };
}

async function override(context: Context, options: OverrideOptions, [text = '']: string[]): Promise<void> {
  const goal = await requireWanted(await context.store(), parseJob(text, options));
  if (!options.set && !options.clear) {
    if (options.until || options.reason) throw new CliError('nothing to change: say what with --set path=value');
    return show(goal, options);
  }
  if (options.output) throw new CliError('-o shows the override there is; leave it out, or --set and --clear');
  if (!options.reason?.trim()) throw new CliError('an override needs a reason: say in a few words why with --reason');
  const base: Base = goal.layers.oncall?.revision ?? 'none';
  const changes = [{ job: goal.job, content: await contentOf(context, goal, options), base }];
  const goals = new Map([[jobName(goal.job), goal]]);
  const change = { changes, goals, origin: origin(options, 'oncall') };
  const [receipt] = await writeGoals(context, change, { dryRun: options.dryRun });
  if (options.clear && receipt?.outcome === 'unchanged') say(`${jobName(goal.job)} has no override: nothing to clear.`);
}

export function addOverrideCommand(program: Command): void {
  program
    .command('override')
    .description('Say for a while what a job should be, above its own layer and the scaler; without --set, show it')
    .argument('<job>', 'NAME or TENANT/NAME')
    .addOption(
      new Option(
        '--set <path=value>',
        'workers.replicas=5, container.env[LOG].value=debug, suspended=null …; may be repeated',
      ).argParser(collect),
    )
    .addOption(new Option('--until <time>', 'when it ends: 2h, 2026-11-23T14:00:00Z, or never').argParser(until))
    .addOption(new Option('--clear', 'end the override now'))
    .addOption(reasonOption())
    .addOption(dryRunOption())
    .addOption(outputOption('json', 'yaml'))
    .addHelpText(
      'after',
      `
An override that holds already is added to. Its end is a change of its own, which history shows.

Examples:
  bulkhead override ads/clicks --set workers.replicas=8 --until 2h --reason 'campaign starts'
  bulkhead override ads/clicks
  bulkhead override ads/clicks --clear --reason 'campaign is over'`,
    )
    .action(action<OverrideOptions>(override));
}
