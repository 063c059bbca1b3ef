import { buildConnector, Pool } from 'undici';
import type { ClusterTarget } from './target.ts';

/** The connections to one API server: those of the calls, and apart from them those of the watches. */

/**
 * One call at a time on each (HTTP/1.1), so this is how many can be under way: the writes that the {@link WriteGate}
 * lets through, those that hang, and reads. What is not needed closes after {@link KEEP_ALIVE_MS}.
 */
const CALL_CONNECTIONS = 256;
/** Only without HTTP/2, where each watch needs one of its own. */
const WATCH_CONNECTIONS = 16;
const CONNECT_TIMEOUT_MS = 5_000;
/** Less than the API server's 90 s, so that we do not write into a connection that it just closes. */
const KEEP_ALIVE_MS = 60_000;
/** An idle connection whose other end is gone is found by TCP after this and ten seconds more. */
const TCP_PROBE_AFTER_MS = 10_000;
const PING_EVERY_MS = 15_000;

function connectorOf({ tls }: ClusterTarget, allowH2: boolean) {
  return buildConnector({
    allowH2,
    timeout: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelay: TCP_PROBE_AFTER_MS,
    rejectUnauthorized: !tls.insecure,
    ...(tls.ca !== null && { ca: tls.ca }),
    ...(tls.cert !== null && { cert: tls.cert }),
    ...(tls.key !== null && { key: tls.key }),
    ...(tls.serverName !== null && { servername: tls.serverName }),
  });
}

/**
 * HTTP/1.1 on purpose: a write costs a quarter less CPU here than by HTTP/2, and no more at the API server (measured on
 * one machine with undici 8.12 and Kubernetes 1.36). A call that hangs or is aborted costs its own connection alone, and
 * no GOAWAY or lost connection hits a call other than its own.
 */
export const callPool = (target: ClusterTarget): Pool =>
  new Pool(new URL(target.server).origin, {
    connections: CALL_CONNECTIONS,
    connect: connectorOf(target, false),
    allowH2: false,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Each call has a time-out of its own for all of it.
    headersTimeout: 0,
    bodyTimeout: 0,
  });

/**
 * HTTP/2 where there is TLS: many watches on one connection, and PING, which notices that its other end is dead.
 * After a GOAWAY what is open goes on to its end, and whatever comes goes to a pool anew: undici 8.12 lets it wait in the
 * old one for as long as the last open watch lasts.
 */
export class WatchConnections {
  readonly #target: ClusterTarget;
  readonly #pingEveryMs: number;
  readonly #retiring = new Set<Pool>();
  #current: Pool;

  constructor(target: ClusterTarget, pingEveryMs = PING_EVERY_MS) {
    this.#target = target;
    this.#pingEveryMs = pingEveryMs;
    this.#current = this.#open();
  }

  /** For one request: another time it may be another. */
  get pool(): Pool {
    return this.#current;
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#current, ...this.#retiring].map((pool) => pool.destroy()));
  }

  #open(): Pool {
    const connector = connectorOf(this.#target, true);
    const pool = new Pool(new URL(this.#target.server).origin, {
      connections: WATCH_CONNECTIONS,
      connect: (options, callback) =>
        connector(options, (...[error, socket]) => {
          if (error) return callback(error, null);
          if ('alpnProtocol' in socket && socket.alpnProtocol === 'h2') endWhenSilent(socket, this.#pingEveryMs);
          callback(null, socket);
        }),
      allowH2: true,
      h2Options: { pingInterval: this.#pingEveryMs },
      bodyTimeout: 0,
    });
    pool.on('disconnect', (_origin, _targets, error) => {
      if (error.message.includes('GOAWAY') && pool === this.#current) this.#retire(pool);
    });
    return pool;
  }

  #retire(pool: Pool): void {
    this.#current = this.#open();
    this.#retiring.add(pool);
    // An error here is that the whole was destroyed meanwhile: it is gone either way.
    const gone = () => void this.#retiring.delete(pool);
    pool.close().then(gone, gone);
  }
}

interface Silenceable {
  readonly bytesRead: number;
  destroy(error: Error): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/**
 * undici sends PINGs and takes no notice of their absent answers. A live peer acknowledges each, so a connection on which
 * nothing at all came in between three looks is dead. Three, since the first may come late: after a stop of our own.
 */
function endWhenSilent(socket: Silenceable, pingEveryMs: number): void {
  let seen = -1;
  let missed = 0;
  const timer = setInterval(() => {
    missed = socket.bytesRead === seen ? missed + 1 : 0;
    seen = socket.bytesRead;
    if (missed >= 2) socket.destroy(new Error(`no answer to PINGs for ${(2 * pingEveryMs) / 1000} s`));
  }, pingEveryMs);
  timer.unref();
  socket.once('close', () => clearInterval(timer));
}
