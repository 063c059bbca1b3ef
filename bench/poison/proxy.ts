import { readFile, writeFile } from 'node:fs/promises';
import {
  type ClientHttp2Session,
  connect,
  constants,
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import type { ControlPlaneCluster } from '../../test/cluster/index.ts';

/**
 * Stands between an operator and the API server, under the API server's own certificate, speaks HTTP/2 and HTTP/1.1 as
 * the client likes, and passes credentials on. It never answers the calls that {@link hold} chooses: they hang until the
 * client gives up, while everybody else's pass.
 */
export class HoldingProxy {
  readonly #server: Http2SecureServer;
  readonly #upstream: string;
  readonly #ca: string;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #held = new Set<Http2ServerResponse>();
  #session: ClientHttp2Session | null = null;
  #isHeld: (path: string) => boolean = () => false;
  /** How long each call that hung was waited for by its client, in milliseconds; those of {@link release} are left out. */
  readonly patienceMs: number[] = [];

  private constructor(server: Http2SecureServer, upstream: string, ca: string) {
    this.#server = server;
    this.#upstream = upstream;
    this.#ca = ca;
  }

  static async to(cluster: Pick<ControlPlaneCluster, 'dir' | 'kubeconfigPath'>): Promise<HoldingProxy> {
    const pki = (file: string) => readFile(join(cluster.dir, 'pki', file), 'utf8');
    const [key, cert, ca] = await Promise.all([pki('apiserver.key'), pki('apiserver.crt'), pki('ca.crt')]);
    const { server: upstream } = (await readKubeconfig(cluster.kubeconfigPath)).clusters[0].cluster;
    const server = createSecureServer({ key, cert, allowHTTP1: true });
    const proxy = new HoldingProxy(server, upstream, ca);
    server.on('session', (session) => {
      proxy.#sessions.add(session);
      session.on('close', () => proxy.#sessions.delete(session));
    });
    server.on('request', (request, response) => {
      // Either side may break at any time; the client sees its own end of it, and tries again.
      proxy.#serve(request, response).catch(() => response.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** Writes a copy of a kubeconfig that leads here. @returns its path, beside the original */
  async kubeconfig(original: string): Promise<string> {
    const config = await readKubeconfig(original);
    config.clusters[0].cluster.server = `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    const path = `${original}.through-proxy`;
    await writeFile(path, stringify(config), { mode: 0o600 });
    return path;
  }

  /** From now on calls to these paths, queries included, hang; lists and watches of everything never do. */
  hold(isHeld: (path: string) => boolean): void {
    this.#isHeld = isHeld;
  }

  /** Nothing is held any more; what hung is broken off. */
  release(): void {
    this.#isHeld = () => false;
    for (const response of this.#held) response.destroy();
    this.#held.clear();
  }

  /** How many calls hang now. */
  get holding(): number {
    return this.#held.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    this.#session?.destroy();
    for (const session of this.#sessions) session.destroy();
    this.#server.close();
  }

  async #serve(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    if (this.#isHeld(request.url)) {
      const since = performance.now();
      this.#held.add(response);
      response.on('close', () => {
        if (this.#held.delete(response)) this.patienceMs.push(performance.now() - since);
      });
      return;
    }
    const hasBody = request.method !== 'GET';
    const body = hasBody ? await buffer(request) : null;
    const asked = this.#connection().request(
      { ...passed(request.headers), ':method': request.method, ':path': request.url },
      { endStream: body === null },
    );
    response.on('close', () => asked.close(constants.NGHTTP2_CANCEL));
    asked.on('error', () => response.destroy());
    asked.on('response', (headers) => {
      response.writeHead(Number(headers[':status']), passed(headers));
      asked.pipe(response as unknown as NodeJS.WritableStream);
    });
    if (body !== null) asked.end(body);
  }

  /** One connection for all, made anew when it has broken. */
  #connection(): ClientHttp2Session {
    const known = this.#session;
    if (known && !known.closed && !known.destroyed) return known;
    const session = connect(this.#upstream, { ca: this.#ca });
    // Those who wait for an answer hear of it by their own streams.
    session.on('error', () => session.destroy());
    this.#session = session;
    return session;
  }
}

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'host', 'http2-settings']);

/** Headers as the other side may see them: pseudo headers and those of one connection are its own. */
function passed(headers: Readonly<Record<string, unknown>>): OutgoingHttpHeaders {
  const kept = Object.entries(headers).filter(([name]) => !name.startsWith(':') && !HOP_BY_HOP.has(name));
  return Object.fromEntries(kept) as OutgoingHttpHeaders;
}

const kubeconfigSchema = z.looseObject({
  clusters: z.tuple([z.looseObject({ cluster: z.looseObject({ server: z.string() }) })]),
});

const readKubeconfig = async (path: string): Promise<z.infer<typeof kubeconfigSchema>> =>
  kubeconfigSchema.parse(parse(await readFile(path, 'utf8')));
