import type { Command, Option } from 'commander';
import { embeddedStatus, ensureEmbedded } from '../store/embedded.ts';
import { openStore } from '../store/open.ts';

/**
 * What may come next on a command line, in the words that kubectl and every shell script of Go's cobra understand: a
 * candidate a line, with a tab before its description, and at last a directive.
 */

export interface Candidate {
  readonly value: string;
  readonly text: string;
}

/** What may stand where the cursor is: of a fixed few, the name of a job, or a file. */
export interface Expected {
  readonly candidates: readonly Candidate[];
  readonly job: boolean;
  readonly file: boolean;
}

/** cobra's: file names are candidates too, and they are not. */
const FILES = ':0';
const NO_FILES = ':4';
/** Who presses tab does not wait for a database that is away. */
const LOOK_UP_MS = 2_000;
const FILE_OPTIONS = new Set(['--filename', '--kubeconfig']);
const JOB_ARGUMENT = /^jobs?(@revision)?$/;

const NOTHING: Expected = { candidates: [], job: false, file: false };

const takesValue = (option: Option): boolean => option.required || option.optional;

/** Those of a command and of the whole program. */
function optionsOf(command: Command): readonly Option[] {
  const all = [...command.options, ...(command.parent ? optionsOf(command.parent) : [])];
  return all.filter((option) => !option.hidden);
}

const optionNamed = (command: Command, name: string): Option | undefined =>
  optionsOf(command).find(({ long, short }) => name === long || name === short);

const subcommands = (command: Command): readonly Command[] =>
  command
    .createHelp()
    .visibleCommands(command)
    .filter((sub) => sub.name() !== 'help');

const choicesOf = (choices: readonly string[] | undefined): Candidate[] =>
  (choices ?? []).map((value) => ({ value, text: '' }));

function valueOfOption(option: Option): Expected {
  return { candidates: choicesOf(option.argChoices), job: false, file: FILE_OPTIONS.has(option.long ?? '') };
}

/** Options in long form; commander knows its --help apart from the rest. */
function optionCandidates(command: Command): Candidate[] {
  const known = optionsOf(command).flatMap(({ long, description }) =>
    long ? [{ value: long, text: description }] : [],
  );
  return [...known, { value: '--help', text: 'display help for command' }];
}

function argumentOf(command: Command, place: number): Expected {
  const declared = command.registeredArguments;
  const last = declared.at(-1);
  const argument = declared[place] ?? (last?.variadic ? last : undefined);
  const subs = place === 0 ? subcommands(command) : [];
  return {
    candidates: [
      ...subs.map((sub) => ({ value: sub.name(), text: sub.description() })),
      ...choicesOf(argument?.argChoices),
    ],
    job: argument !== undefined && JOB_ARGUMENT.test(argument.name()),
    file: false,
  };
}

/** @param words what was typed after the program's name; the last one, which may be empty, is where the cursor is */
export function expectedAfter(program: Command, words: readonly string[]): Expected {
  let command = program;
  let place = 0;
  let pending: Option | undefined;
  const before = words.slice(0, -1);
  const current = words.at(-1) ?? '';
  for (const word of before) {
    if (pending) {
      pending = undefined;
    } else if (word.startsWith('-')) {
      const option = word.includes('=') ? undefined : optionNamed(command, word);
      pending = option && takesValue(option) ? option : undefined;
    } else {
      const sub = place === 0 ? command.commands.find((it) => it.name() === word) : undefined;
      if (sub) command = sub;
      else place += 1;
    }
  }
  if (pending) return valueOfOption(pending);
  if (!current.startsWith('-')) return argumentOf(command, place);
  const [name = '', value] = current.split('=');
  if (value === undefined) return { ...NOTHING, candidates: optionCandidates(command) };
  const option = optionNamed(command, name);
  const { candidates } = option ? valueOfOption(option) : NOTHING;
  return { ...NOTHING, candidates: candidates.map((it) => ({ ...it, value: `${name}=${it.value}` })) };
}

/** Names of jobs as far as a database answers at once. Nothing is started, made or migrated for it. */
async function jobNames(words: readonly string[]): Promise<Candidate[]> {
  const url = process.env.DATABASE_URL?.trim() || (await runningEmbedded());
  if (!url) return [];
  const store = await openStore({ url, applicationName: 'bulkhead completion', statementTimeoutMs: LOOK_UP_MS });
  try {
    const tenant = tenantIn(words);
    const goals = await store.list(tenant === null ? {} : { tenant });
    const plain = goals.filter(({ job }) => job.tenant === (tenant ?? 'default'));
    const names = tenant === null ? goals.map(({ job }) => `${job.tenant}/${job.name}`) : [];
    return [...plain.map(({ job }) => job.name), ...names].map((value) => ({ value, text: '' }));
  } finally {
    await store.close();
  }
}

async function runningEmbedded(): Promise<string | null> {
  if ((await embeddedStatus()).state !== 'running') return null;
  return (await ensureEmbedded()).url;
}

function tenantIn(words: readonly string[]): string | null {
  const place = words.findIndex((word) => word === '-n' || word === '--namespace');
  return place < 0 ? null : (words[place + 1] ?? null);
}

/** Prints the candidates for these words. Never fails: a shell that asks wants to show something else then. */
export async function complete(program: Command, words: readonly string[]): Promise<void> {
  const expected = expectedAfter(program, words);
  let jobs: readonly Candidate[] = [];
  try {
    jobs = expected.job ? await jobNames(words) : [];
  } catch {
    // No database, or an old one: there are no names to offer, and no place to say why.
  }
  const current = words.at(-1) ?? '';
  const fitting = [...expected.candidates, ...jobs].filter(({ value }) => value.startsWith(current));
  const lines = fitting.map(({ value, text }) => (text === '' ? value : `${value}\t${text}`));
  process.stdout.write([...lines, expected.file ? FILES : NO_FILES, ''].join('\n'));
}
