import type { Command } from 'commander';
import { brakeObject, brakeText, releaseQuestion } from './brake-text.ts';
import { requireYes } from './confirm.ts';
import { action, author, type Context } from './context.ts';
import { type GlobalOptions, mandatoryReasonOption, outputOption, yesOption } from './options.ts';
import { print, say, toJsonText, toYamlText } from './output.ts';

interface BrakeOptions extends GlobalOptions {
  readonly output?: 'json' | 'yaml';
}

interface ReleaseOptions extends GlobalOptions {
  readonly reason: string;
  readonly yes?: true;
}

async function brake(context: Context, { output }: BrakeOptions): Promise<void> {
  const state = await (await context.store()).brakeState();
  if (output === 'json') return print(toJsonText(brakeObject(state)));
  if (output === 'yaml') return print(toYamlText(brakeObject(state)));
  await print(brakeText(state, Date.now()));
}

async function release(context: Context, options: ReleaseOptions): Promise<void> {
  const store = await context.store();
  const state = await store.brakeState();
  if (state.waiting.length === 0) return say('No removal waits for the brake: there is nothing to release.');
  await requireYes(releaseQuestion(state), options);
  const count = await store.releaseBrake({ author: author(), source: 'cli', reason: options.reason });
  await print(`brake released: ${count} ${count === 1 ? 'removal goes' : 'removals go'} on\n`);
}

export function addBrakeCommand(program: Command): void {
  const command = program
    .command('brake')
    .description('Show how many cells may be removed in a while, and which removals wait for a person')
    .addOption(outputOption('json', 'yaml'))
    .action(action<BrakeOptions>(brake));
  command
    .command('release')
    .description('Let every removal go that waits now, beyond the budget')
    .addOption(mandatoryReasonOption())
    .addOption(yesOption())
    .action(action<ReleaseOptions>(release));
}
