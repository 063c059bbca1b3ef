import { type Command, Option } from 'commander';
import { canonicalJson } from '../job/canonical.ts';
import type { PlatformRevision } from '../job/goal.ts';
import { revision } from '../job/ids.ts';
import { duplicatePlatforms, type ParsedPlatform, parsePlatforms, platformYaml } from '../job/platform.ts';
import { formatProblems } from '../job/problem.ts';
import type { PlatformReceipt } from '../ports/store.ts';
import { requireYes } from './confirm.ts';
import { action, type Context, origin } from './context.ts';
import { CliError } from './errors.ts';
import { scopeName } from './layer-words.ts';
import {
  type FileOptions,
  fileOption,
  type GlobalOptions,
  outputOption,
  parseTenant,
  reasonOption,
  recursiveOption,
  yesOption,
} from './options.ts';
import { print, say, toJsonText, toYamlText } from './output.ts';
import { impactOf } from './platform-impact.ts';
import {
  changedText,
  platformHistoryTable,
  platformObject,
  platformReceiptLine,
  platformTable,
  refusedText,
} from './platform-text.ts';
import { readSources } from './sources.ts';

interface ApplyOptions extends GlobalOptions, FileOptions {
  readonly reason?: string;
  readonly dryRun: 'client' | 'none';
  readonly yes?: true;
}

interface LookOptions extends GlobalOptions {
  readonly output?: 'json' | 'yaml';
}

/** Reads every scope that the files speak of. @throws CliError when anything is wrong with any; nothing is stored then */
async function readPlatforms(options: FileOptions): Promise<ParsedPlatform[]> {
  const sources = await readSources(options.filename ?? [], { recursive: options.recursive === true });
  const files = sources.map(({ name, text }) => parsePlatforms(text, name));
  const platforms = files.flatMap((file) => file.platforms);
  const problems = [...files.flatMap((file) => file.problems), ...duplicatePlatforms(platforms)];
  if (problems.length === 0) return platforms;
  say(formatProblems(problems));
  throw new CliError('nothing was done: correct these problems, then try again');
}

function foreseen({ tenant, content }: ParsedPlatform, current: PlatformRevision | undefined): PlatformReceipt {
  if (!current) return { tenant, revision: revision(1), outcome: 'created' };
  return canonicalJson(current.content) === canonicalJson(content)
    ? { tenant, revision: current.revision, outcome: 'unchanged' }
    : { tenant, revision: revision(current.revision + 1), outcome: 'configured' };
}

async function apply(context: Context, options: ApplyOptions): Promise<void> {
  const platforms = await readPlatforms(options);
  const store = await context.store();
  const [before, goals] = await Promise.all([store.platforms(), store.list()]);
  const currentOf = (it: ParsedPlatform) => before.find(({ tenant }) => tenant === it.tenant);
  const impact = impactOf(goals, platforms);
  if (impact.refused.length > 0) say(refusedText(impact).trimEnd());
  if (impact.changed.length > 0) say(changedText(impact));
  if (options.dryRun === 'client') {
    for (const it of platforms) await print(platformReceiptLine(foreseen(it, currentOf(it)), 'client'));
    return;
  }
  if (impact.refused.length > 0) await requireYes('Store it all the same?', options);
  for (const it of platforms) {
    const { tenant, content } = it;
    // What was just read, and what the question was about.
    const base = currentOf(it)?.revision ?? 'none';
    const receipt = await store.writePlatform({ tenant, content, base }, origin(options));
    await print(platformReceiptLine(receipt, 'none'));
  }
}

const tenantArgument = (options: GlobalOptions, name: string | undefined): string | null =>
  name !== undefined ? parseTenant(name) : (options.namespace ?? null);

async function get(context: Context, options: LookOptions, [name]: string[]): Promise<void> {
  const tenant = tenantArgument(options, name);
  const all = await (await context.store()).platforms();
  const shown = tenant === null ? all : all.filter((it) => it.tenant === tenant);
  if (options.output === 'json') return print(toJsonText(shown.map(platformObject)));
  if (shown.length === 0) {
    return say(`The platform says nothing${tenant === null ? '' : ` about tenant ${tenant} alone`}.`);
  }
  if (options.output === 'yaml') {
    return print(shown.map((it) => `---\n${platformYaml(it.tenant, it.content)}`).join(''));
  }
  await print(platformTable(shown, Date.now()));
}

async function history(context: Context, options: LookOptions, [name]: string[]): Promise<void> {
  const tenant = tenantArgument(options, name);
  const revisions = await (await context.store()).platformHistory(tenant);
  if (options.output === 'json') return print(toJsonText(revisions.map(platformObject)));
  if (options.output === 'yaml') return print(toYamlText(revisions.map(platformObject)));
  if (revisions.length === 0) return say(`The platform has never said anything about ${scopeName(tenant)}.`);
  await print(platformHistoryTable(revisions, Date.now()));
}

export function addPlatformCommand(program: Command): void {
  const platform = program
    .command('platform')
    .description('Defaults below all layers of a job and limits above them, for all tenants or for one');
  platform
    .command('apply')
    .description('Store what files say of the platform; asks when jobs that are there would be refused')
    .addOption(fileOption('file or folder with platforms, or - for stdin; may be repeated').makeOptionMandatory())
    .addOption(recursiveOption())
    .addOption(reasonOption())
    .addOption(
      new Option('--dry-run <mode>', 'client: only say what would be done').choices(['client', 'none']).default('none'),
    )
    .addOption(yesOption())
    .action(action<ApplyOptions>(apply));
  platform
    .command('get')
    .description('Show what the platform says now; -o yaml is what `platform apply -f -` takes')
    .argument('[tenant]', 'only what it says about this tenant alone')
    .addOption(outputOption('yaml', 'json'))
    .action(action<LookOptions>(get));
  platform
    .command('history')
    .description('List every revision of what the platform says about all tenants, or about one alone')
    .argument('[tenant]', 'about this tenant alone')
    .addOption(outputOption('yaml', 'json'))
    .action(action<LookOptions>(history));
}
