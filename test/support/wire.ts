import { connect, createServer, type Server, type Socket } from 'node:net';
import {
  boundValues,
  firstValue,
  frames,
  parseCommandTag,
  parseStartup,
  type Startup,
  statementOf,
} from './wire-frames.ts';

/**
 * A proxy on the way to a Postgres that understands its protocol (version 3, without TLS) well enough to stop the world
 * at a COMMIT: before the server hears of it, or after the server has answered and before the client knows.
 */
export interface WriteWatch {
  /** Of the connection, from its start-up message. */
  readonly applicationName: string;
  /** The statement that makes a write last: `commit`, or a write outside a transaction. */
  readonly statement: string;
  /** 1, 2, 3 … over all connections of the proxy. */
  readonly number: number;
}

export interface WriteAnswer {
  /** false: an error or a rollback. */
  readonly landed: boolean;
  /** First value of the first row, as text; null where there is none. */
  readonly value: string | null;
}

/** `cut` closes the connection on both sides; what the hook held back is lost with it. */
export type Verdict = 'pass' | 'cut';

export interface WireHooks {
  /** The statement is here and the server has not seen it. */
  readonly before?: (write: WriteWatch) => Promise<Verdict> | Verdict;
  /** The server has answered and the client has not heard it. */
  readonly after?: (write: WriteWatch, answer: WriteAnswer) => Promise<Verdict> | Verdict;
  /** Which statements outside a transaction count as writes, beside `commit`. Left out: none. */
  readonly isWrite?: (statement: string) => boolean;
  /** Every statement, in the order in which it comes by. */
  readonly onStatement?: (statement: string, applicationName: string) => void;
  /** The values of the statement that came by before, where it has any. */
  readonly onValues?: (values: readonly (string | null)[]) => void;
}

export interface Target {
  readonly host: string;
  readonly port: number;
}

export const targetOf = (url: string): Target => {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port || 5432) };
};

interface Pending {
  readonly write: WriteWatch;
  readonly held: Buffer[];
  landed: boolean;
  value: string | null;
}

/** One client's way through the proxy. */
export class WireConnection {
  /** Where it leads; a switch of the proxy's target leaves it where it is. */
  readonly target: Target;
  applicationName = '';
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #proxy: WireProxy;
  #frozen = false;
  #deaf = false;
  #inTransaction = false;
  /** A hook holds a write back: it is sent on even if its client has gone meanwhile, like a packet on a slow way. */
  #isHeld = false;
  /** The write whose answer is awaited, and what has come of the answer so far. */
  #pending: Pending | null = null;

  constructor(proxy: WireProxy, near: Socket, far: Socket, target: Target) {
    this.#proxy = proxy;
    this.#near = near;
    this.#far = far;
    this.target = target;
  }

  /** Swallows everything in both directions from now on while the connection stays open: the other end has vanished. */
  freeze(): void {
    this.#frozen = true;
  }

  /** Swallows notifications alone; everything else goes on as usual. */
  deafen(): void {
    this.#deaf = true;
  }

  drop(): void {
    this.#near.destroy();
    this.#far.destroy();
  }

  /** One side is broken: so is the other, unless something is still on its way to the server. */
  onBroken(side: 'near' | 'far'): void {
    if (side === 'far' || !(this.#isHeld || this.#pending)) this.drop();
  }

  /** Until both sides have closed. How they end, a reset for example, is what a test's faults look like and no news. */
  async run(): Promise<void> {
    const client = this.#fromClient().finally(() => this.onBroken('near'));
    const server = this.#fromServer().finally(() => this.onBroken('far'));
    await Promise.allSettled([client, server]);
  }

  async #fromClient(): Promise<void> {
    const split = frames('client');
    for await (const chunk of this.#near) {
      for (const frame of split(chunk as Buffer)) {
        if (frame.startup) await this.#onStartup(frame.bytes, parseStartup(frame.bytes));
        else await this.#onClientFrame(frame.bytes);
      }
    }
  }

  async #fromServer(): Promise<void> {
    const split = frames('server');
    for await (const chunk of this.#far) {
      for (const frame of split(chunk as Buffer)) await this.#onServerFrame(frame.bytes);
    }
  }

  async #onStartup(bytes: Buffer, startup: Startup): Promise<void> {
    // The next message of this client is another start-up, in plain text.
    if (startup.kind === 'encryption') this.#near.write('N');
    else this.#far.write(bytes);
    if (startup.kind === 'session') this.applicationName = startup.parameters.get('application_name') ?? '';
  }

  async #onClientFrame(bytes: Buffer): Promise<void> {
    const statement = statementOf(bytes);
    if (statement !== null) {
      this.#proxy.hooks.onStatement?.(statement, this.applicationName);
      const write = this.#proxy.writeOf(statement, this.#inTransaction, this.applicationName);
      if (write) {
        this.#isHeld = true;
        const verdict = await this.#proxy.hooks.before?.(write);
        this.#isHeld = false;
        if (verdict === 'cut') {
          this.drop();
          return;
        }
        this.#proxy.counts.forwarded += 1;
        this.#pending = { write, held: [], landed: false, value: null };
      }
    }
    const values = this.#proxy.hooks.onValues && boundValues(bytes);
    if (values) this.#proxy.hooks.onValues?.(values);
    if (!this.#frozen && !this.#far.destroyed) this.#far.write(bytes);
  }

  async #onServerFrame(bytes: Buffer): Promise<void> {
    const type = String.fromCharCode(bytes[0] ?? 0);
    if (type === 'Z') this.#inTransaction = bytes[5] !== 'I'.charCodeAt(0);
    const pending = this.#pending;
    if (pending) {
      pending.held.push(bytes);
      if (type === 'E') pending.landed = false;
      if (type === 'D') pending.value ??= firstValue(bytes);
      if (type === 'C') pending.landed = parseCommandTag(bytes) !== 'ROLLBACK';
      if (type === 'Z') await this.#answered(pending);
      return;
    }
    if (type === 'A' && this.#deaf) return;
    if (!this.#frozen && !this.#near.destroyed) this.#near.write(bytes);
  }

  async #answered({ write, held, landed, value }: Pending): Promise<void> {
    this.#pending = null;
    if (landed) this.#proxy.counts.landed += 1;
    const verdict = await this.#proxy.hooks.after?.(write, { landed, value });
    if (verdict === 'cut' || this.#near.destroyed) this.drop();
    else if (!this.#frozen && !this.#near.destroyed) this.#near.write(Buffer.concat(held));
  }
}

export class WireProxy {
  hooks: WireHooks;
  /** Where new connections lead. */
  target: Target;
  readonly connections = new Set<WireConnection>();
  /** Writes that the server was given, and those that it said are done. */
  readonly counts = { forwarded: 0, landed: 0 };
  readonly #server: Server;
  #writes = 0;

  private constructor(server: Server, target: Target, hooks: WireHooks) {
    this.#server = server;
    this.target = target;
    this.hooks = hooks;
  }

  static async to(target: Target, hooks: WireHooks = {}): Promise<WireProxy> {
    const server = createServer();
    const proxy = new WireProxy(server, target, hooks);
    server.on('connection', (near) => proxy.#join(near));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  #join(near: Socket): void {
    const far = connect(this.target);
    const connection = new WireConnection(this, near, far, this.target);
    this.connections.add(connection);
    // Each side's end is seen by the loops that read it; an error without a listener would end the process.
    near.setNoDelay(true).on('error', () => connection.onBroken('near'));
    far.setNoDelay(true).on('error', () => connection.onBroken('far'));
    void connection.run().finally(() => this.connections.delete(connection));
  }

  /** What `statement` makes last, or null. */
  writeOf(statement: string, inTransaction: boolean, applicationName: string): WriteWatch | null {
    const commits = /(?:^|;)\s*(?:commit|end)(?:\s+(?:work|transaction))?\s*;?\s*$/i.test(statement);
    if (!commits && (inTransaction || this.hooks.isWrite?.(statement) !== true)) return null;
    this.#writes += 1;
    return { applicationName, statement, number: this.#writes };
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

  dropAll(): void {
    for (const connection of this.connections) connection.drop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dropAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
