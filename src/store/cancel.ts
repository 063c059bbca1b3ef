import { connect } from 'node:net';
import type pg from 'pg';

/** What pg keeps of a connection for cancelling, though its types do not tell. */
export interface Backend {
  readonly host: string;
  readonly port: number;
  /** As the server named it at the login; a pooler makes one up. */
  readonly processID: number;
  readonly secretKey: number;
}

export const backendOf = (client: pg.ClientBase): Backend => client as pg.ClientBase & Backend;

const CANCEL_REQUEST = 80_877_102;
const GIVE_UP_AFTER_MS = 1_000;

/**
 * Asks the server to end what `client` waits for. Postgres answers with nothing, and may come too late: then the request
 * meets the connection's next statement, so the connection must not be used again.
 */
export function cancelStatement(client: pg.ClientBase): void {
  const { host, port, processID, secretKey } = backendOf(client);
  const request = Buffer.alloc(16);
  request.writeInt32BE(request.length, 0);
  request.writeInt32BE(CANCEL_REQUEST, 4);
  request.writeInt32BE(processID, 8);
  request.writeInt32BE(secretKey, 12);
  const socket = connect(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port });
  // Who cannot be asked has not heard the statement either, or ends it some other time.
  socket.on('error', () => undefined);
  socket.setTimeout(GIVE_UP_AFTER_MS, () => socket.destroy());
  socket.unref();
  // Not ended from here: a pooler takes that for a client that has gone, and forgets the request.
  socket.write(request);
}
