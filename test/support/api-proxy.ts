import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { stringify } from 'yaml';
import { type ClusterTarget, readTarget } from '../../src/cluster/target.ts';
import type { LocalCluster } from '../cluster/types.ts';
import { ownFolder } from './postgres.ts';

/**
 * A reverse proxy on loopback in front of a real API server, in plain HTTP for whoever comes, as the cluster's
 * administrator upstream. It writes down what is written, and makes the faults that no API server makes by itself.
 */
export interface ApiWrite {
  /** 1, 2, 3 … in the order in which they came. */
  readonly number: number;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** Parsed; null where there was none. */
  readonly body: unknown;
  readonly atMs: number;
  /** null until the API server has answered. */
  status: number | null;
  answer: unknown;
}

export type ApiVerdict = 'pass' | 'cut';

export interface ApiHooks {
  /** The write is here, and the API server has not seen it. It goes on when the hook resolves. */
  readonly before?: (write: ApiWrite) => Promise<ApiVerdict> | ApiVerdict;
  /** The API server has answered, and the client has not heard it. */
  readonly after?: (write: ApiWrite) => Promise<ApiVerdict> | ApiVerdict;
}

/** One watch under way: what came while it was held. */
interface Watch {
  readonly response: ServerResponse;
  readonly held: Buffer[];
  /** The API server has ended it; the client hears of it after what is held. */
  ended: boolean;
}

const WRITES = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'host', 'authorization']);

const isWatch = (url: URL): boolean => ['1', 'true'].includes(url.searchParams.get('watch') ?? '');

/** What tells one list from another; where it starts and how fresh it must be does not. */
function listKey(url: URL): string {
  const query = new URLSearchParams(url.searchParams);
  for (const name of ['resourceVersion', 'resourceVersionMatch', 'timeoutSeconds']) query.delete(name);
  query.sort();
  return `${url.pathname}?${query}`;
}

function parse(bytes: Buffer): unknown {
  if (bytes.length === 0) return null;
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    // Logs and the like are no JSON; nobody compares them.
    return bytes.toString('utf8');
  }
}

export class ApiProxy {
  hooks: ApiHooks = {};
  readonly writes: ApiWrite[] = [];
  readonly #server: Server;
  readonly #target: ClusterTarget;
  readonly #agent: Agent;
  readonly #watches = new Set<Watch>();
  /** Lists as they were answered last, by what was asked for. */
  readonly #lists = new Map<string, { url: string; status: number; bytes: Buffer }>();
  #stale = false;
  #holding = false;
  #frozen = false;

  private constructor(server: Server, target: ClusterTarget) {
    this.#server = server;
    this.#target = target;
    const { ca, cert, key } = target.tls;
    this.#agent = new Agent({
      keepAlive: true,
      ...(ca !== null && { ca }),
      ...(cert !== null && { cert }),
      ...(key !== null && { key }),
    });
  }

  static async to(cluster: Pick<LocalCluster, 'kubeconfigPath' | 'context'>): Promise<ApiProxy> {
    const target = await readTarget({ kubeconfig: cluster.kubeconfigPath, context: cluster.context });
    const server = createServer();
    const proxy = new ApiProxy(server, target);
    server.on('request', (request, response) => {
      // A broken connection on either side is a fault like any other: the client sees its own end of it.
      proxy.#serve(request, response).catch(() => response.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed');
    return `http://127.0.0.1:${address.port}`;
  }

  /** Writes a kubeconfig that leads here, under the context's own name. @returns its path */
  async kubeconfig(): Promise<string> {
    const name = this.#target.contextName;
    const folder = join(await ownFolder(), 'kubeconfigs');
    await mkdir(folder, { recursive: true });
    const path = join(folder, `${new URL(this.url).port}.yaml`);
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': name,
      // Without it, client-node refuses to speak plain HTTP at all.
      clusters: [{ name, cluster: { server: this.url, 'insecure-skip-tls-verify': true } }],
      contexts: [{ name, context: { cluster: name, user: name } }],
      users: [{ name, user: {} }],
    };
    await writeFile(path, stringify(config));
    return path;
  }

  /** From now on lists are answered as they were last, and watches say nothing: a server that has fallen behind. */
  goStale(): void {
    this.#stale = true;
    this.#holding = true;
  }

  /** Watches say nothing from now on; what they would have said is kept. */
  holdWatches(): void {
    this.#holding = true;
  }

  /**
   * Ends {@link goStale} and {@link holdWatches}.
   * @param kept `deliver`: watches say what they kept, in order. `discard`: they break off, and nobody ever hears it
   */
  thaw(kept: 'deliver' | 'discard'): void {
    this.#stale = false;
    this.#holding = false;
    for (const watch of this.#watches) {
      if (kept === 'discard') watch.response.destroy();
      else for (const bytes of watch.held.splice(0)) watch.response.write(bytes);
      if (watch.ended) watch.response.end();
    }
  }

  /** Takes every list that was ever asked for anew, for {@link goStale} to answer with. */
  async photograph(): Promise<void> {
    for (const [key, { url }] of this.#lists) {
      const answer = await this.#ask('GET', url, {}, Buffer.alloc(0));
      this.#lists.set(key, { url, status: answer.statusCode ?? 0, bytes: await buffer(answer) });
    }
  }

  /** No request is answered any more, while connections stay open. */
  freeze(): void {
    this.#frozen = true;
  }

  unfreeze(): void {
    this.#frozen = false;
    this.dropAll();
  }

  dropAll(): void {
    this.#server.closeAllConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dropAll();
    this.#agent.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bytes = await buffer(request);
    if (this.#frozen) return;
    const url = new URL(request.url ?? '/', this.url);
    const method = request.method ?? 'GET';
    if (WRITES.has(method)) await this.#write(method, request, bytes, response);
    else if (isWatch(url)) await this.#watch(request, response);
    else await this.#read(url, request, response);
  }

  async #write(method: string, request: IncomingMessage, bytes: Buffer, response: ServerResponse): Promise<void> {
    const write: ApiWrite = {
      number: this.writes.length + 1,
      method,
      path: request.url ?? '/',
      body: parse(bytes),
      atMs: performance.now(),
      status: null,
      answer: null,
    };
    this.writes.push(write);
    if ((await this.hooks.before?.(write)) === 'cut') {
      response.destroy();
      return;
    }
    const answer = await this.#ask(method, write.path, request.headers, bytes);
    const body = await buffer(answer);
    write.status = answer.statusCode ?? 0;
    write.answer = parse(body);
    if ((await this.hooks.after?.(write)) === 'cut' || this.#frozen) response.destroy();
    else this.#answer(response, answer, body);
  }

  async #read(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const key = listKey(url);
    const old = this.#lists.get(key);
    if (this.#stale && old) {
      response.writeHead(old.status, { 'content-type': 'application/json' }).end(old.bytes);
      return;
    }
    const answer = await this.#ask('GET', request.url ?? '/', request.headers, Buffer.alloc(0));
    const body = await buffer(answer);
    // A page further on is named by a token that expires.
    if (url.searchParams.has('labelSelector') && !url.searchParams.has('continue')) {
      this.#lists.set(key, { url: request.url ?? '/', status: answer.statusCode ?? 0, bytes: body });
    }
    if (!this.#frozen) this.#answer(response, answer, body);
  }

  /** Chunk by chunk, as it comes. */
  async #watch(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await this.#ask('GET', request.url ?? '/', request.headers, Buffer.alloc(0));
    const watch: Watch = { response, held: [], ended: false };
    this.#watches.add(watch);
    response.on('close', () => {
      this.#watches.delete(watch);
      answer.destroy();
    });
    response.writeHead(answer.statusCode ?? 502, this.#headers(answer));
    response.flushHeaders();
    for await (const chunk of answer) {
      if (this.#frozen) continue;
      if (this.#holding) watch.held.push(chunk as Buffer);
      else response.write(chunk);
    }
    watch.ended = true;
    if (!this.#holding) response.end();
  }

  #headers(answer: IncomingMessage): Record<string, string | string[]> {
    const kept = Object.entries(answer.headers).filter(([name]) => !HOP_BY_HOP.has(name) && name !== 'content-length');
    return Object.fromEntries(kept) as Record<string, string | string[]>;
  }

  #answer(response: ServerResponse, answer: IncomingMessage, body: Buffer): void {
    response.writeHead(answer.statusCode ?? 502, { ...this.#headers(answer), 'content-length': body.length }).end(body);
  }

  #ask(method: string, path: string, headers: IncomingMessage['headers'], bytes: Buffer): Promise<IncomingMessage> {
    const passed = Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name) && name !== 'content-length');
    return new Promise((resolve, reject) => {
      const asked = httpsRequest(new URL(path, this.#target.server), {
        method,
        agent: this.#agent,
        headers: { ...Object.fromEntries(passed), 'content-length': bytes.length },
      });
      asked.on('response', resolve).on('error', reject).end(bytes);
    });
  }
}
