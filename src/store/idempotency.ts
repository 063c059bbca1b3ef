import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pRetry from 'p-retry';
import { contentHash } from '../job/canonical.ts';
import { type ChangeOrigin, StoreError } from '../ports/store.ts';
import type { Sql } from './pool.ts';

/**
 * Writes that happen once, however often they are sent: each leaves its key, what it was about and what was answered, in
 * the same transaction. Without a key of the caller one is made up for the call, so that also a write whose answer was
 * lost can be sent again until it is known what became of it.
 */
export interface KeyedCall {
  readonly key: string;
  /** Whether the caller named the key, and so may send the call again later. */
  readonly named: boolean;
  /** Of all that was to be changed, in order. */
  readonly bodyHash: string;
}

export const keyedCall = (origin: ChangeOrigin, body: unknown): KeyedCall => ({
  key: origin.idempotencyKey ?? randomUUID(),
  named: origin.idempotencyKey !== undefined,
  bodyHash: contentHash(body),
});

/** A row of bulkhead.idempotency. */
export interface ReplyRow<Reply> {
  readonly tenant: string;
  readonly body_hash: string;
  readonly receipts: Reply;
}

/** What was answered to this call before, by tenant; empty for a new one. @throws StoreError `conflict` */
export function formerReplies<Reply>(call: KeyedCall, rows: readonly ReplyRow<Reply>[]): Map<string, Reply> {
  const other = rows.find((row) => row.body_hash !== call.bodyHash);
  if (other) {
    throw new StoreError(
      'conflict',
      `The idempotency key ${JSON.stringify(call.key)} was used for other changes already ` +
        `(${other.tenant === '*' ? 'all tenants' : `tenant ${other.tenant}`}): use a new key for this change.`,
    );
  }
  return new Map(rows.map((row) => [row.tenant, row.receipts]));
}

/**
 * What is visible may still be on its way to the standbys that a commit waits for, when an earlier wait was cut short.
 * Returns once everything committed until now is there: a commit of its own waits for what lies before it.
 */
export async function awaitReplication(sql: Sql): Promise<void> {
  await sql.query(`select pg_logical_emit_message(true, 'bulkhead', '')`);
}

/** Somebody else changed what a write was decided from: nothing was stored, and the winner's change can be read now. */
export class LostRace extends StoreError {
  constructor() {
    super('conflict', 'Others change the same thing all the time: look again, then repeat the change.');
  }
}

/** How an attempt tells what the next one must know. */
export interface Attempt {
  /** False once hints have kept the change from being stored. */
  readonly hints: boolean;
  /** Runs what may store the change. */
  send<T>(work: () => Promise<T>): Promise<T>;
}

/** How long a call is sent again, from its first failure on. */
const REPEAT_FOR_MS = 10_000;
const PAUSE_MIN_MS = 50;
const PAUSE_MAX_MS = 1_000;
/** After a lost race, at most: the winner is through already, so there is nothing to wait for but the others. */
const RACE_PAUSE_MS = 20;

/** SQLSTATEs of a race that was lost: for a name, a number or a key, or against a deadlock. */
const LOST_RACE: ReadonlySet<string> = new Set(['40001', '40P01', '23505']);
/** SQLSTATE of a COMMIT that failed because nobody drains the queue of notifications. */
const PROGRAM_LIMIT_EXCEEDED = '54000';
/** What Node says about a connection that was never made, so that nothing was sent over it. */
const NEVER_CONNECTED: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENOENT',
]);

function codeOf(error: unknown): string {
  const cause = error instanceof StoreError ? error.cause : error;
  return cause instanceof Error && 'code' in cause ? String(cause.code) : '';
}

const isLostRace = (error: unknown): boolean => error instanceof LostRace || LOST_RACE.has(codeOf(error));

/** Whether the server has said, or it is plain, that the statement was not committed. */
function wasRefused(error: unknown): boolean {
  if (error instanceof LostRace) return true;
  const code = codeOf(error);
  if (NEVER_CONNECTED.has(code)) return true;
  // Class 08, 57P01 and 57P02 end a connection at any moment, also after the commit.
  return /^[0-9A-Z]{5}$/.test(code) && !/^(08...|57P01|57P02|40003)$/.test(code);
}

const isUnavailable = (error: unknown): boolean => error instanceof StoreError && error.kind === 'unavailable';

function unknownOutcome(error: StoreError, { key }: KeyedCall): StoreError {
  return new StoreError(
    error.kind,
    `${error.message} Whether the change is stored is not certain: send it again with the idempotency key ${key}, ` +
      'which stores it once at most.',
    { cause: error },
  );
}

/**
 * Calls `attempt` until it is known what became of the change: again after a race that was lost, and after an answer that
 * was. The attempt looks for its key first, so that it finds what an earlier one has stored.
 * @throws StoreError `unavailable` which says so when the outcome stays unknown
 */
export async function untilKnown<T>(call: KeyedCall, attempt: (attempt: Attempt) => Promise<T>): Promise<T> {
  let unsure = false;
  let hints = true;
  let deadline = Number.POSITIVE_INFINITY;
  const send = async <R>(work: () => Promise<R>): Promise<R> => {
    try {
      return await work();
    } catch (error) {
      unsure ||= !wasRefused(error);
      throw error;
    }
  };
  try {
    return await pRetry(() => attempt({ hints, send }), {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: PAUSE_MIN_MS,
      maxTimeout: PAUSE_MAX_MS,
      randomize: true,
      shouldConsumeRetry: ({ error }) => !isLostRace(error),
      onFailedAttempt: async ({ error }) => {
        if (isLostRace(error)) await sleep(Math.random() * RACE_PAUSE_MS);
      },
      shouldRetry: ({ error }) => {
        deadline = Math.min(deadline, performance.now() + REPEAT_FOR_MS);
        if (performance.now() > deadline) return false;
        const code = codeOf(error);
        // A goal must not depend on hints, which can be lost anyway.
        if (code === PROGRAM_LIMIT_EXCEEDED) hints = false;
        return code === PROGRAM_LIMIT_EXCEEDED || isLostRace(error) || (unsure && isUnavailable(error));
      },
    });
  } catch (error) {
    if (unsure && error instanceof StoreError && error.kind !== 'conflict' && error.kind !== 'invalid') {
      throw unknownOutcome(error, call);
    }
    throw error;
  }
}
