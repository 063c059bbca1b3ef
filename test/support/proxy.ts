import { connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP proxy on the way to a server, for faults that no server makes by itself. */
export class TcpProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #frozen = false;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param target where the proxy leads to; the server behind a database URL, for example */
  static async to(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
    const server = createServer();
    const proxy = new TcpProxy(server);
    server.on('connection', (near) => {
      const far = connect(target);
      proxy.#join(near, far);
      proxy.#join(far, near);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on('data', (chunk) => {
      if (!this.#frozen) to.write(chunk);
    });
    // Both ends go together; what an end says about it is not what a test is about.
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed');
    return address.port;
  }

  /** `url` with the proxy in place of its host and port. */
  urlFor(url: string): string {
    const through = new URL(url);
    through.host = `127.0.0.1:${this.port}`;
    return through.href;
  }

  /** Swallows everything in both directions, while connections stay open: the other end has vanished. */
  freeze(): void {
    this.#frozen = true;
  }

  /** What was swallowed is lost; the connections from before are broken. */
  thaw(): void {
    this.#frozen = false;
    this.dropAll();
  }

  dropAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dropAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
