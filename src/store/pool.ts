import { Socket } from 'node:net';
import pg from 'pg';
import { StoreError } from '../ports/store.ts';
import { describeTarget, toStoreError } from './errors.ts';

/**
 * Connections to Postgres. Everything here also works behind a transaction-mode pooler: no statement relies on what an
 * earlier one left in the session, and no statement is prepared by name.
 */
export interface Sql {
  /** Runs one statement; values travel as parameters. @throws StoreError */
  query<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

export interface Database extends Sql {
  /** Where the connections lead, for messages. */
  readonly target: string;
  /** Commits what `work` did, or nothing at all when it throws. @throws StoreError */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

export interface PoolOptions {
  readonly url: string;
  readonly applicationName: string;
  readonly maxConnections: number;
  /** How long a call waits for a connection, a new or a free one. */
  readonly connectTimeoutMs: number;
  /** How long the server works on one statement. */
  readonly statementTimeoutMs: number;
}

/** Time on top of the server's own limit, after which a peer that says nothing counts as dead. */
const DEAD_PEER_MARGIN_MS = 2_000;
const CLOSE_TIMEOUT_MS = 2_000;
const IDLE_CONNECTION_MS = 30_000;

/**
 * What pools and single connections have in common.
 * `sslmode` means what it means to psql (uselibpqcompat), and not what this version of pg makes of it.
 */
export function connectionConfig(options: Omit<PoolOptions, 'maxConnections'>): pg.ClientConfig {
  const { url, applicationName, connectTimeoutMs, statementTimeoutMs } = options;
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw new StoreError('configuration', 'DATABASE_URL is not usable: expected it to begin with postgres://');
  }
  const compat = /[?&]sslmode=/.test(url) && !url.includes('uselibpqcompat=') ? '&uselibpqcompat=true' : '';
  return {
    connectionString: url + compat,
    application_name: applicationName,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: statementTimeoutMs + DEAD_PEER_MARGIN_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
}

interface ClosablePool {
  readonly pool: pg.Pool;
  /** Ends the pool; connections that are busy or silent are dropped after a moment. */
  close(): Promise<void>;
}

/** With the server's time-outs as start-up parameters, or without where a pooler in between refuses those. */
function makePool(options: PoolOptions, serverTimeouts: boolean): ClosablePool {
  // Ours, since pg leaves a connection open that fails on our side of the login, and the server then waits for it.
  const sockets = new Set<Socket>();
  const { statementTimeoutMs, maxConnections } = options;
  const pool = new pg.Pool({
    ...connectionConfig(options),
    ...(serverTimeouts
      ? { statement_timeout: statementTimeoutMs, idle_in_transaction_session_timeout: statementTimeoutMs }
      : {}),
    max: maxConnections,
    idleTimeoutMillis: IDLE_CONNECTION_MS,
    stream: () => {
      const socket = new Socket();
      sockets.add(socket);
      return socket.once('close', () => sockets.delete(socket));
    },
  });
  // An idle connection broke: the pool has dropped it already.
  pool.on('error', reportedByNextStatement);
  return {
    pool,
    close: async () => {
      await finishWithin(pool.end(), CLOSE_TIMEOUT_MS);
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function finishWithin(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, limit]);
  clearTimeout(timer);
}

const reportedByNextStatement = () => undefined;

class PooledDatabase implements Database {
  readonly target: string;
  readonly close: () => Promise<void>;
  readonly #pool: pg.Pool;
  readonly #begin: string;

  constructor({ pool, close }: ClosablePool, options: PoolOptions) {
    this.#pool = pool;
    this.close = close;
    this.target = describeTarget(options.url);
    // One round trip, and it holds for this transaction only, whichever connection a pooler gives us.
    const timeoutMs = Math.trunc(options.statementTimeoutMs);
    this.#begin =
      `begin; set local statement_timeout = ${timeoutMs}; ` +
      `set local idle_in_transaction_session_timeout = ${timeoutMs}`;
  }

  async query<Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    try {
      return (await this.#pool.query<Row & pg.QueryResultRow>(text, [...values])).rows;
    } catch (error) {
      throw toStoreError(error, this.target);
    }
  }

  async transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const { target } = this;
    let client: pg.PoolClient | undefined;
    try {
      const connection = await this.#pool.connect();
      client = connection;
      connection.on('error', reportedByNextStatement);
      await connection.query(this.#begin);
      const result = await work({
        query: async <Row>(text: string, values: readonly unknown[] = []) =>
          (await connection.query<Row & pg.QueryResultRow>(text, [...values])).rows,
      });
      await connection.query('commit');
      connection.off('error', reportedByNextStatement);
      connection.release();
      return result;
    } catch (error) {
      // Closing the connection rolls back, also when nothing can be said over it any more.
      client?.release(true);
      throw toStoreError(error, target);
    }
  }
}

async function open(options: PoolOptions, serverTimeouts: boolean): Promise<Database> {
  const closable = makePool(options, serverTimeouts);
  try {
    (await closable.pool.connect()).release();
    return new PooledDatabase(closable, options);
  } catch (error) {
    await closable.close();
    throw error;
  }
}

const refusesParameters = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '08P01' && /startup parameter/.test(error.message);

/** Opens a bounded pool and makes sure that it can connect. @throws StoreError */
export async function openDatabase(options: PoolOptions): Promise<Database> {
  try {
    return await open(options, true).catch((error: unknown) => {
      if (refusesParameters(error)) return open(options, false);
      throw error;
    });
  } catch (error) {
    throw toStoreError(error, describeTarget(options.url));
  }
}
