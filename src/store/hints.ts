import { randomUUID } from 'node:crypto';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pRetry from 'p-retry';
import pg from 'pg';
import { parseJobId } from '../job/ids.ts';
import { type GoalHints, StoreError } from '../ports/store.ts';
import { backendOf } from './cancel.ts';
import { describeTarget, toStoreError } from './errors.ts';
import { connectionConfig, openDatabase } from './pool.ts';
import { GOAL_CHANNEL } from './write.ts';

/**
 * Listens for hints on a connection of its own. Being up is never taken on trust: a connection whose other end has
 * vanished looks healthy, so it is asked something every few seconds.
 */
export type HintHandlers = Parameters<GoalHints['listen']>[0];

export interface ListenOptions {
  readonly url: string;
  readonly applicationName: string;
  readonly pingIntervalMs: number;
  readonly answerTimeoutMs: number;
}

/** What a hint says that is about no job in particular. */
const OTHER_HINTS: ReadonlySet<string> = new Set(['platform', 'brake']);

const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 5_000;
/** Trying whether hints come through is a NOTIFY each time, so it is seldom done again. */
const DEAF_RETRY_MS = 60_000;

/** LISTEN worked, and yet no hint comes. */
class DeafError extends StoreError {}

/** An open connection that listens. `broken` aborts when it breaks, with the error. */
interface Session {
  readonly client: pg.Client;
  readonly broken: AbortSignal;
  close(): void;
}

/**
 * Whether the backend that answers is another than the one we were told at the login: then a pooler stands in between,
 * which may lend our backend, and the LISTEN with it, to somebody else.
 */
async function isPooled(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  return rows[0]?.pid !== backendOf(client).processID;
}

async function tell(payload: string, options: ListenOptions): Promise<void> {
  const { url, applicationName, answerTimeoutMs } = options;
  const db = await openDatabase({
    url,
    applicationName: `${applicationName} (hints)`,
    maxConnections: 1,
    connectTimeoutMs: answerTimeoutMs,
    statementTimeoutMs: answerTimeoutMs,
  });
  try {
    await db.query('select pg_notify($1, $2)', [GOAL_CHANNEL, payload]);
  } finally {
    await db.close();
  }
}

/** Sends a hint that means nothing over another connection, and waits for it on `client`. @throws DeafError */
async function proveHearing(client: pg.Client, broken: AbortSignal, options: ListenOptions): Promise<void> {
  const payload = `test ${randomUUID()}`;
  const heard = new Promise<'heard'>((resolve) => {
    client.on('notification', (message) => {
      if (message.payload === payload) resolve('heard');
    });
  });
  broken.throwIfAborted();
  const failed = new Promise<never>((_resolve, reject) => {
    broken.addEventListener('abort', () => reject(broken.reason), { once: true });
  });
  const told = tell(payload, options);
  // When `failed` is first, nobody waits for it any more.
  told.catch(() => undefined);
  await Promise.race([told, failed]);
  const limit = sleep(options.answerTimeoutMs, 'deaf', { ref: false });
  if ((await Promise.race([heard, failed, limit])) === 'heard') return;
  throw new DeafError(
    'configuration',
    `${describeTarget(options.url)} is behind a pooler that lets no hints through (transaction mode?): changes are ` +
      'found by polling, a few seconds later. For hints, name a direct way in DATABASE_URL, or one in session mode.',
  );
}

async function openSession(options: ListenOptions, handlers: HintHandlers, signal: AbortSignal): Promise<Session> {
  const { url, applicationName, answerTimeoutMs } = options;
  // The socket is ours, so that a connection without another end can be dropped without waiting for an answer.
  const socket = new Socket({ signal });
  const client = new pg.Client({
    ...connectionConfig({
      url,
      applicationName: `${applicationName} (hints)`,
      connectTimeoutMs: answerTimeoutMs,
      statementTimeoutMs: answerTimeoutMs,
    }),
    stream: () => socket,
  });
  // A signal, which a sleep lets go of when it is over: a promise would keep what every one of them leaves on it.
  const broken = new AbortController();
  client.on('error', (error) => broken.abort(error));
  client.on('end', () => broken.abort(new Error('Connection terminated')));
  client.on('notification', (message) => {
    // A channel is open to everyone in the database: what we do not know is none of ours.
    const payload = message.payload ?? '';
    const id = parseJobId(payload);
    if (id !== null) handlers.onJob(id);
    else if (OTHER_HINTS.has(payload)) handlers.onOther();
  });
  try {
    await client.connect();
    await client.query(`listen ${GOAL_CHANNEL}`);
    if (await isPooled(client)) await proveHearing(client, broken.signal, options);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return { client, broken: broken.signal, close: () => socket.destroy() };
}

/** Rejects as soon as the connection is broken or silent; it is broken when nobody listens any more, too. */
async function keepAsking({ client, broken }: Session, pingIntervalMs: number): Promise<never> {
  for (;;) {
    await sleep(pingIntervalMs, undefined, { signal: broken, ref: false }).catch(() => broken.throwIfAborted());
    await client.query('select 1');
  }
}

/**
 * Listens until `signal` aborts, re-connecting by itself: `onReady` after every LISTEN that worked, `onLost` once for
 * every loss (also when the first attempt fails), with a sentence for people.
 */
export async function listen(options: ListenOptions, handlers: HintHandlers, signal: AbortSignal): Promise<void> {
  const target = describeTarget(options.url);
  let lost = false;
  const lose = (error: unknown): void => {
    if (lost || signal.aborted) return;
    lost = true;
    handlers.onLost(toStoreError(error, target) satisfies StoreError);
  };
  while (!signal.aborted) {
    try {
      const session = await pRetry(() => openSession(options, handlers, signal), {
        retries: Number.POSITIVE_INFINITY,
        minTimeout: RETRY_MIN_MS,
        maxTimeout: RETRY_MAX_MS,
        randomize: true,
        signal,
        onFailedAttempt: async ({ error }) => {
          lose(error);
          if (error instanceof DeafError) await pause(DEAF_RETRY_MS, signal);
        },
        shouldRetry: () => true,
      });
      lost = false;
      try {
        handlers.onReady();
        await keepAsking(session, options.pingIntervalMs);
      } finally {
        session.close();
      }
    } catch (error) {
      lose(error);
      // A server that lets us in and drops us at once must not be asked in a tight loop.
      await pause(RETRY_MIN_MS, signal);
    }
  }
}

/** An abort ends it early. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
