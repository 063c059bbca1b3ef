import { StoreError, type StoreErrorKind } from '../ports/store.ts';

/**
 * Turns what `pg`, the network and TLS throw into one clear sentence with the remedy.
 *
 * `unavailable` is what passes without a change to Bulkhead (try again), `configuration` what needs a person.
 * No message ever holds the password: messages are made from {@link describeTarget} and the database's own words.
 */
interface Failure {
  readonly kind: StoreErrorKind;
  readonly message: string;
}

/** What pg and Node put on their errors, as far as it is used here. */
interface DriverError {
  readonly code?: string;
  readonly message: string;
  readonly errors?: readonly unknown[];
}

/** Where a connection URL leads, for people: user, host, port and database, never the password. */
export function describeTarget(url: string): string {
  try {
    const { username, hostname, port, pathname, searchParams } = new URL(url);
    const host = searchParams.get('host') ?? (hostname || 'localhost');
    const user = decodeURIComponent(username);
    const database = decodeURIComponent(pathname.slice(1)) || user;
    return `Postgres at ${host}:${port || 5432} (database ${database || 'by default'}, user ${user || 'by default'})`;
  } catch {
    // The URL itself may be what is wrong: pg's own error about it follows.
    return 'Postgres';
  }
}

const unavailable = (message: string): Failure => ({ kind: 'unavailable', message });
const configuration = (message: string): Failure => ({ kind: 'configuration', message });

type Explain = (target: string, detail: string) => Failure;

const refused: Explain = (target) =>
  unavailable(`${target} refuses the connection: start the server, or correct DATABASE_URL.`);
const noAnswer: Explain = (target) =>
  unavailable(`${target} does not answer: check that the server runs, and the network and firewall on the way to it.`);
const broken: Explain = (target, detail) =>
  unavailable(`The connection to ${target} broke (${detail}); it is made again by the next call.`);
const notReady: Explain = (target, detail) => unavailable(`${target} is not ready: ${detail}. Try again in a moment.`);
const badPassword: Explain = (target) =>
  configuration(`${target} refuses the password: correct the one in DATABASE_URL (or PGPASSWORD).`);
const full: Explain = (target) =>
  unavailable(`${target} has no space left on its disk: free some there; nothing was stored.`);
const unstorable: Explain = (_target, detail) =>
  configuration(`The text holds what Postgres cannot store, a NUL or half a surrogate pair (${detail}): take it out.`);
const notMigrated: Explain = (target, detail) =>
  configuration(`${target} is not set up for this Bulkhead (${detail}): run "bulkhead migrate".`);
const busy: Explain = (target) =>
  unavailable(
    `No connection to ${target} came free in time: all are at work or wait for an answer. Try again; if it goes on, ` +
      'look for what is slow or locked there (pg_stat_activity).',
  );
const rolledBack: Explain = (target, detail) =>
  unavailable(`${target} rolled the transaction back (${detail}): try again.`);
const stoodStill: Explain = (target) =>
  unavailable(`${target} ended a transaction or a connection that had stood still for too long: try again.`);
const collision: Explain = (_target, detail) => ({ kind: 'conflict', message: `The store refuses this: ${detail}.` });
const badCertificate: Explain = (target, detail) =>
  configuration(
    `${target} shows a certificate that cannot be trusted (${detail}): name its CA by sslrootcert=FILE in DATABASE_URL, ` +
      'or use sslmode=require to encrypt without checking.',
  );

/** By SQLSTATE and by Node's error codes; a key of two letters stands for the whole class of SQLSTATEs. */
const BY_CODE: Readonly<Record<string, Explain>> = {
  ECONNREFUSED: refused,
  ENOENT: refused,
  ENOTFOUND: (target) => unavailable(`The host of ${target} has no address: correct DATABASE_URL, or check DNS.`),
  EAI_AGAIN: (target) => unavailable(`The host of ${target} could not be looked up: check DNS.`),
  ETIMEDOUT: noAnswer,
  EHOSTUNREACH: noAnswer,
  ENETUNREACH: noAnswer,
  ECONNRESET: broken,
  EPIPE: broken,
  DEPTH_ZERO_SELF_SIGNED_CERT: badCertificate,
  SELF_SIGNED_CERT_IN_CHAIN: badCertificate,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: badCertificate,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: badCertificate,
  CERT_HAS_EXPIRED: badCertificate,
  ERR_TLS_CERT_ALTNAME_INVALID: badCertificate,
  '08': broken,
  '23': collision,
  '23001': (_target, detail) => ({ kind: 'invalid', message: `The store refuses this: ${detail}.` }),
  '25P03': stoodStill,
  '25P04': stoodStill,
  '28000': (target, detail) =>
    configuration(
      `${target} does not let this user in (${detail}): correct DATABASE_URL, or the server's pg_hba.conf.`,
    ),
  '28P01': badPassword,
  '3D000': (target) =>
    configuration(`${target}: there is no such database. Make it (createdb), or correct DATABASE_URL.`),
  '3F000': notMigrated,
  '42P01': notMigrated,
  '42703': notMigrated,
  '42883': notMigrated,
  '42501': (target, detail) =>
    configuration(`${target} denies the right to do this (${detail}): use the database's owner, or grant it.`),
  '22P02': unstorable,
  '22P05': unstorable,
  '22021': unstorable,
  '25006': (target) =>
    unavailable(
      `${target} is read-only, as a standby is: point DATABASE_URL at the primary, or wait for the promotion.`,
    ),
  '40': rolledBack,
  '53100': full,
  '53200': (target) => unavailable(`${target} is out of memory: give it more, or try again later.`),
  '53300': (target) =>
    unavailable(`${target} has no connection left: close some, raise max_connections, or try again later.`),
  '53': (target, detail) => unavailable(`${target} is short of a resource (${detail}).`),
  '55P03': (target) => unavailable(`${target} holds the rows under a lock of somebody else: try again.`),
  '57014': (target) => unavailable(`${target} took too long and the statement was cancelled: try again later.`),
  '57P01': (target) => unavailable(`${target} closed the connection: it stops, or somebody ended it. Try again.`),
  '57P02': (target) => unavailable(`${target} crashed and starts again: try again in a moment.`),
  '57P04': (target) => configuration(`${target}: the database was dropped. Restore it, or correct DATABASE_URL.`),
  '57P05': stoodStill,
  '57': notReady,
  '58': (target, detail) => unavailable(`${target} has trouble with its disk (${detail}).`),
};

/** Errors that come without a code, by pg's own words. */
const BY_MESSAGE: readonly (readonly [RegExp, Explain])[] = [
  [/server does not support SSL/i, (t) => configuration(`${t} speaks no TLS: use sslmode=disable in DATABASE_URL.`)],
  [/password must be a string/i, badPassword],
  [/SASL/, badPassword],
  // The pool's words for a wait for one of its own connections; a connection that cannot be made is the next line's.
  [/timeout exceeded when trying to connect/i, busy],
  [/connection timeout|timeout expired/i, noAnswer],
  [/query read timeout/i, noAnswer],
  [/Connection terminated|Client has encountered a connection error|Client was closed/i, broken],
  [
    /Invalid URL|URI malformed|Invalid port|sslmode|no such file/i,
    (_t, detail) =>
      configuration(
        `DATABASE_URL is not usable (${detail}): expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, ` +
          'with special letters in the password percent-encoded.',
      ),
  ],
];

/** Happy Eyeballs reports one error per address of the host: the first says enough. */
function firstOf(error: DriverError): DriverError {
  const inner = error.errors?.[0];
  return inner instanceof Error ? inner : error;
}

/**
 * @param target where the connection leads, from {@link describeTarget}
 * @returns the error to throw: `error` itself where it is a StoreError already
 */
export function toStoreError(error: unknown, target: string): StoreError {
  if (error instanceof StoreError) return error;
  if (!(error instanceof Error)) return new StoreError('unavailable', `${target} failed: ${String(error)}`);
  const { code = '', message } = firstOf(error);
  const detail = message.replace(/[.\s]+$/, '');
  const explain =
    BY_CODE[code] ??
    (code.length === 5 ? BY_CODE[code.slice(0, 2)] : undefined) ??
    BY_MESSAGE.find(([pattern]) => pattern.test(message))?.[1] ??
    ((t, d) => unavailable(`${t} failed: ${d}${code === '' ? '' : ` (${code})`}.`));
  const failure = explain(target, detail);
  return new StoreError(failure.kind, failure.message, { cause: error });
}
