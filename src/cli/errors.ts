import { styleText } from 'node:util';
import { CommanderError } from 'commander';
import { ClusterError } from '../ports/cluster.ts';
import { StoreError } from '../ports/store.ts';

/** What a person can mend; the message is one clear sentence with the remedy. */
export class CliError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CliError';
  }
}

/** Where a cluster was looked for, so that an error about it can say so. */
export interface ClusterPlace {
  readonly contextName: string;
  readonly server: string;
}

/** Any error, with what its command adds to it. */
export class CommandFailure extends Error {
  readonly exitCode: number;
  /** null when the command asked for no cluster. */
  readonly place: ClusterPlace | null;
  constructor(cause: unknown, exitCode: number, place: ClusterPlace | null) {
    super(messageOf(cause), { cause });
    this.name = 'CommandFailure';
    this.exitCode = exitCode;
    this.place = place;
  }
}

const MAX_CAUSES = 5;

/** What undici and Node call a certificate that does not fit. */
const CERTIFICATE_CODE = /^(ERR_TLS_|CERT_|UNABLE_TO_(GET_ISSUER|VERIFY)|SELF_SIGNED|DEPTH_ZERO)/;

/** The words of the innermost error that has some: Happy Eyeballs wraps one error for each address in an empty one. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== '') return error.message;
  const inner: unknown = error instanceof AggregateError ? error.errors[0] : error.cause;
  return inner === undefined ? error.name : messageOf(inner);
}

/** The codes of an error and of what caused it. */
function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth += 1) {
    if ('code' in current && typeof current.code === 'string') codes.push(current.code);
    current = current.cause ?? (current instanceof AggregateError ? current.errors[0] : undefined);
  }
  return codes;
}

/** Without the call and the code in front, such as `GET /api/v1/pods: 403 `, which tell a person nothing. */
const withoutCall = (message: string): string => message.replace(/^[A-Z]+ \/\S*: ([1-4]\d\d )?/, '');

/** One sentence about a fault of the cluster, with the remedy. */
export function clusterSentence(error: ClusterError, place: ClusterPlace): string {
  const { contextName, server } = place;
  const words = withoutCall(error.cause instanceof AggregateError ? messageOf(error.cause) : error.message);
  const where = `the API server ${server} (context ${contextName})`;
  switch (error.kind) {
    case 'unavailable':
      // A 5xx: it did answer, if with nothing of use.
      if (/^\d{3} /.test(words)) return `${where} fails (${words}); try again, or look after the cluster`;
      return codesOf(error).some((code) => CERTIFICATE_CODE.test(code))
        ? `${where} shows a certificate that the kubeconfig does not trust (${words}); get the cluster's current kubeconfig, or name another context with --context`
        : `${where} does not answer (${words}); start the cluster, check the network, or name another context with --context`;
    case 'unauthorized':
      return `${where} does not accept the credentials of the kubeconfig (${words}); log in again or get a new kubeconfig`;
    case 'forbidden':
      return `${where} refuses this (${words}); ask its administrator for the right, or name another context with --context`;
    case 'throttled':
      return `${where} is overloaded (${words}); try again in a moment`;
    default:
      return `${where} refuses this (${words})`;
  }
}

/** TargetError is told by its name: its module loads a library that most commands do without. */
const isForeseen = (error: unknown): boolean =>
  [CliError, StoreError, ClusterError].some((type) => error instanceof type) ||
  (error instanceof Error && error.name === 'TargetError');

/** One sentence about any error. What nobody foresaw is a bug, and said to be one. */
export function sentence(error: unknown, place: ClusterPlace | null = null): string {
  if (error instanceof CommandFailure) return sentence(error.cause, error.place);
  if (error instanceof ClusterError && place) return clusterSentence(error, place);
  return isForeseen(error)
    ? messageOf(error)
    : `unexpected: ${messageOf(error)}; this is a bug in Bulkhead, and --debug shows where`;
}

/** Shows an error on stderr; with `debug` also where it comes from. Commander has shown its own already. */
export function showError(error: unknown, debug: boolean): void {
  if (error instanceof CommanderError) return;
  const label = styleText('red', 'error:', { stream: process.stderr });
  process.stderr.write(`${label} ${sentence(error)}\n`);
  if (!debug) return;
  let current: unknown = error instanceof CommandFailure ? error.cause : error;
  for (let depth = 0; current instanceof Error && depth < MAX_CAUSES; depth += 1) {
    process.stderr.write(`${depth === 0 ? '' : 'caused by: '}${current.stack ?? current.message}\n`);
    current = current.cause;
  }
}

export function exitCodeOf(error: unknown): number {
  return error instanceof CommandFailure || error instanceof CommanderError ? error.exitCode : 1;
}
