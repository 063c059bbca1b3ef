import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { ClusterTarget } from '../../src/cluster/target.ts';
import { selfSigned } from './self-signed.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** An HTTPS server on loopback that speaks HTTP/2 and HTTP/1.1 as an API server does, and fails in the ways of one. */
export class TlsServer {
  readonly #server: Http2SecureServer;
  readonly #port: number;
  readonly #ca: string;
  /** Connections that are open. */
  readonly sockets = new Set<Socket>();
  readonly sessions = new Set<ServerHttp2Session>();
  /** What each request is answered with. */
  handle: Handler = (_request, response) => void response.end('{}');

  private constructor(server: Http2SecureServer, ca: string) {
    this.#server = server;
    this.#ca = ca;
    this.#port = (server.address() as AddressInfo).port;
    server.on('secureConnection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      // A connection that is broken on purpose says so here; whoever waits for its answer is told by the client.
      socket.on('error', () => undefined);
    });
    server.on('session', (session) => {
      this.sessions.add(session);
      session.once('close', () => this.sessions.delete(session));
    });
    server.on('request', (request, response) =>
      this.handle(request as unknown as IncomingMessage, response as unknown as ServerResponse),
    );
  }

  static async start(): Promise<TlsServer> {
    const { cert, key } = selfSigned();
    const server = createSecureServer({ cert, key, allowHTTP1: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TlsServer(server, cert);
  }

  get target(): ClusterTarget {
    return {
      contextName: 'test',
      server: `https://127.0.0.1:${this.#port}`,
      tls: { ca: this.#ca, cert: null, key: null, serverName: null, insecure: false },
      headers: async () => ({ authorization: 'Bearer test' }),
      files: [],
      fingerprint: 'test',
    };
  }

  /** Ends every connection without a word. */
  reset(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.reset();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
