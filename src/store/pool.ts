import { Socket } from 'node:net';
import pg from 'pg';
import { StoreError } from '../ports/store.ts';
import { cancelStatement } from './cancel.ts';
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
  /**
   * New connections from here on: what is idle is closed at once, what is busy when its work ends. For when the address
   * leads to another server than before. A pool does so by itself when its server turns out to be read-only.
   */
  reset(): void;
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

/**
 * Time on top of the server's own limit, after which a statement is cancelled from here. The server's limit does not
 * count while a commit waits for a standby; left alone, every such commit would keep a backend for as long.
 */
const CANCEL_MARGIN_MS = 500;
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
  /** Closes what is idle, and waits for what is busy. */
  retire(): Promise<void>;
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
  // An idle connection broke: the pool has dropped it already, and the next statement gets another.
  pool.on('error', () => undefined);
  pool.on('connect', watchReplication);
  let ended: Promise<void> | undefined;
  const end = (): Promise<void> => {
    ended ??= pool.end();
    return ended;
  };
  return {
    pool,
    retire: end,
    close: async () => {
      await finishWithin(end(), CLOSE_TIMEOUT_MS);
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Connections whose last commit no standby has confirmed, though one should have. */
const unconfirmed = new WeakSet<pg.ClientBase>();

/** The server reports such a commit as a success, with a warning. Its text is translated, its place in the source not. */
function watchReplication(client: pg.ClientBase): void {
  client.on('notice', ({ routine }) => {
    if (routine === 'SyncRepWaitForLSN') unconfirmed.add(client);
  });
}

/** @throws StoreError `unavailable`: stored, but not where it survives the loss of this server */
function requireConfirmed(client: pg.ClientBase, target: string): void {
  if (!unconfirmed.delete(client)) return;
  throw new StoreError(
    'unavailable',
    `${target} stored the change, but no standby confirmed it in time: it is lost if this server is. ` +
      'Check the standbys, then look again and repeat the change where it is missing.',
  );
}

async function finishWithin(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, limit]);
  clearTimeout(timer);
}

class PooledDatabase implements Database {
  readonly target: string;
  readonly #make: () => ClosablePool;
  readonly #begin: string;
  readonly #cancelAfterMs: number;
  #current: ClosablePool;
  readonly #retired = new Set<ClosablePool>();

  constructor(first: ClosablePool, make: () => ClosablePool, options: PoolOptions) {
    this.#current = first;
    this.#make = make;
    this.target = describeTarget(options.url);
    // One round trip, and it holds for this transaction only, whichever connection a pooler gives us.
    const timeoutMs = Math.trunc(options.statementTimeoutMs);
    this.#cancelAfterMs = timeoutMs + CANCEL_MARGIN_MS;
    this.#begin =
      `begin; set local statement_timeout = ${timeoutMs}; ` +
      `set local idle_in_transaction_session_timeout = ${timeoutMs}`;
  }

  query<Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.#withClient('statement', async (run, client) => {
      const { rows } = await run<Row & pg.QueryResultRow>(text, values);
      requireConfirmed(client, this.target);
      return rows;
    });
  }

  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.#withClient('transaction', async (run, client) => {
      await run(this.#begin);
      const result = await work({
        query: async <Row>(text: string, values: readonly unknown[] = []) =>
          (await run<Row & pg.QueryResultRow>(text, values)).rows,
      });
      const { command } = await run('commit');
      // A statement had failed and `work` went on: Postgres then answers COMMIT with ROLLBACK, and no error.
      if (command !== 'COMMIT')
        throw new StoreError('unavailable', `${this.target} rolled the change back: try again.`);
      requireConfirmed(client, this.target);
      return result;
    });
  }

  reset(): void {
    const old = this.#current;
    this.#current = this.#make();
    this.#retired.add(old);
    void old.retire().then(() => this.#retired.delete(old));
  }

  async close(): Promise<void> {
    await Promise.all([this.#current, ...this.#retired].map(({ close }) => close()));
  }

  async #withClient<T>(
    kind: 'statement' | 'transaction',
    work: (run: Run, client: pg.PoolClient) => Promise<T>,
  ): Promise<T> {
    const owner = this.#current;
    let client: pg.PoolClient | undefined;
    let isCancelled = false;
    // What the server said when it closed the connection; the next statement only learns that it is closed.
    let lastWord: Error | undefined;
    const listen = (error: Error): void => {
      lastWord ??= error;
    };
    try {
      const connection = await owner.pool.connect();
      client = connection;
      connection.on('error', listen);
      const run: Run = async (text, values = []) => {
        const timer = setTimeout(() => {
          isCancelled = true;
          cancelStatement(connection);
        }, this.#cancelAfterMs);
        return await connection.query(text, [...values]).finally(() => clearTimeout(timer));
      };
      const result = await work(run, connection);
      connection.off('error', listen);
      connection.release(isCancelled);
      return result;
    } catch (raised) {
      const error = lastWord ?? raised;
      client?.off('error', listen);
      // Closing the connection rolls back, also when nothing can be said over it any more. After a statement of its own
      // that the server refused there is nothing to roll back.
      const isSound = kind === 'statement' && !isCancelled && lastWord === undefined && isPlainError(raised);
      client?.release(!isSound);
      if (hasCode(error, READ_ONLY) && owner === this.#current) this.reset();
      throw toStoreError(error, this.target);
    }
  }
}

/** Runs one statement on a connection, and cancels it when the server forgets to. */
type Run = <R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]) => Promise<pg.QueryResult<R>>;

/** SQLSTATE of a write to a standby, or to a former primary that was made one. */
const READ_ONLY = '25006';

/** What the server says of a statement, and not of the connection; in another language of the server's it is not known. */
const isPlainError = (error: unknown): boolean => error instanceof pg.DatabaseError && error.severity === 'ERROR';

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

async function open(options: PoolOptions, serverTimeouts: boolean): Promise<Database> {
  const make = () => makePool(options, serverTimeouts);
  const closable = make();
  try {
    (await closable.pool.connect()).release();
    return new PooledDatabase(closable, make, options);
  } catch (error) {
    await closable.close();
    throw error;
  }
}

const refusesParameters = (error: unknown): boolean =>
  error instanceof Error && hasCode(error, '08P01') && /startup parameter/.test(error.message);

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
