import { type Command, InvalidArgumentError, Option } from 'commander';
import { type JobName, type Revision, revision } from '../job/ids.ts';
import { streamJobSchema } from '../job/spec.ts';
import { CliError } from './errors.ts';
import type { OutputFormat } from './output.ts';

/** Options that several commands share, and the reading of what people type for them. */

export interface GlobalOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly allNamespaces?: true;
  readonly debug?: true;
}

export interface FileOptions {
  readonly filename?: readonly string[];
  readonly recursive?: true;
}

/** Where kubectl looks when nobody says otherwise. */
export const DEFAULT_TENANT = 'default';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** @returns milliseconds. @throws InvalidArgumentError */
export function duration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  const total = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNIT_MS[unit ?? ''] ?? 0), 0);
  if (parts.length === 0 || parts.map(([all]) => all).join('') !== text || total <= 0) {
    throw new InvalidArgumentError('Expected a time such as 90s, 5m or 1h30m.');
  }
  return total;
}

/** A job at a revision, as people name it. */
export interface JobAt {
  readonly job: JobName;
  /** null: as it is now. */
  readonly revision: Revision | null;
}

/** Reads `JOB@3`, or `JOB` for now. @throws CliError */
export function parseJobAt(text: string, options: GlobalOptions): JobAt {
  const [name = '', number, ...rest] = text.split('@');
  const job = parseJob(name, options);
  if (number === undefined) return { job, revision: null };
  if (rest.length === 0 && /^[1-9]\d{0,8}$/.test(number)) return { job, revision: revision(Number(number)) };
  throw new CliError(`${JSON.stringify(text)} names no revision: expected JOB@3, with a number from 1`);
}

/** A whole number from `min`. */
export const wholeNumber =
  (min: number) =>
  (text: string): number => {
    const value = Number(text);
    if (/^-?\d{1,9}$/.test(text) && value >= min) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min}.`);
  };

export function addGlobalOptions(program: Command): void {
  program
    .option('--kubeconfig <file>', "kubeconfig to use (default: $KUBECONFIG, ~/.kube/config, or the pod's own account)")
    .option('--context <name>', 'context of the kubeconfig (default: its current one)')
    .option('-n, --namespace <tenant>', `tenant to look in (default: the tenant "${DEFAULT_TENANT}")`)
    .option('-A, --all-namespaces', 'look in all tenants')
    .option('--debug', 'show stack traces, and more log lines');
}

export const outputOption = (...formats: readonly OutputFormat[]): Option =>
  new Option('-o, --output <format>', 'how the result is printed').choices(formats);

/** Of an option that may be repeated: all of its values. */
export const collect = (value: string, before: readonly string[] | undefined): string[] => [...(before ?? []), value];

export const fileOption = (text = 'file or folder with jobs, or - for stdin; may be repeated'): Option =>
  new Option('-f, --filename <file>', text).argParser(collect);

export const recursiveOption = (): Option => new Option('-R, --recursive', 'look into the folders of a folder, too');

function someText(text: string): string {
  if (text.trim() !== '') return text;
  throw new InvalidArgumentError('Say in a few words why.');
}

export const reasonOption = (): Option => new Option('--reason <text>', 'why; kept with the revision');

/** Where a change must say why. */
export const mandatoryReasonOption = (): Option => reasonOption().makeOptionMandatory().argParser(someText);

export const dryRunOption = (): Option =>
  new Option(
    '--dry-run <mode>',
    'client: only say what would be done; server: have the store check it all, then take it back',
  )
    .choices(['client', 'server', 'none'])
    .default('none');

export const takeOverOption = (): Option =>
  new Option(
    '--take-over',
    'also where others keep fields of the job in Kubernetes (Argo CD, Flux, kubectl apply), which is refused otherwise: their object is written over',
  );

export const yesOption = (): Option => new Option('--yes', 'do not ask');

export const idempotencyOption = (): Option =>
  new Option(
    '--idempotency-key <key>',
    'a text of your own for this change: sent again with the same key, it is stored once',
  );

export const timeoutOption = (): Option =>
  new Option('--timeout <time>', 'how long --wait waits').argParser(duration).default(120_000, '120s');

/** The tenant that a list is limited to; null for all. */
export const tenantOf = (options: GlobalOptions): string | null =>
  options.allNamespaces === true ? null : (options.namespace ?? DEFAULT_TENANT);

const { name: nameSchema, namespace: tenantSchema } = streamJobSchema.shape.metadata.shape;

function checked(schema: typeof nameSchema, text: string, what: string): string {
  const problem = schema.safeParse(text).error?.issues[0];
  if (!problem) return text;
  throw new CliError(`${JSON.stringify(text)} cannot be ${what}: ${problem.message}`);
}

/** @throws CliError when nothing can be a tenant of that name */
export const parseTenant = (text: string): string => checked(tenantSchema, text, 'a tenant');

/** Reads a JOB argument: `name`, or `tenant/name`. @throws CliError */
export function parseJob(text: string, options: GlobalOptions): JobName {
  const parts = text.split('/');
  if (parts.length > 2) throw new CliError(`${JSON.stringify(text)} names no job: expected NAME or TENANT/NAME`);
  const name = checked(nameSchema, parts.at(-1) ?? '', 'the name of a job');
  if (parts.length === 1) {
    if (options.allNamespaces) throw new CliError(`a job of any tenant is named TENANT/${name}; leave -A out`);
    return { tenant: checked(tenantSchema, options.namespace ?? DEFAULT_TENANT, 'a tenant'), name };
  }
  const tenant = checked(tenantSchema, parts[0] ?? '', 'a tenant');
  if (options.namespace !== undefined && options.namespace !== tenant) {
    throw new CliError(`${text} is not in the tenant ${options.namespace} that -n names; leave one of the two out`);
  }
  return { tenant, name };
}
