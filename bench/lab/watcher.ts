import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'undici';
import { readTarget } from '../../src/cluster/target.ts';
import type { Lab } from './lab.ts';

/** Somebody else's eyes: watches on a connection of their own, raw lines, nothing decoded but what tells one from another. */

export interface WatchedKind {
  /** As in a path: `deployments`. */
  readonly resource: string;
  /** `/api/v1`, `/apis/apps/v1`, … */
  readonly prefix: string;
}

export const WATCHED = {
  namespaces: { prefix: '/api/v1', resource: 'namespaces' },
  serviceaccounts: { prefix: '/api/v1', resource: 'serviceaccounts' },
  resourcequotas: { prefix: '/api/v1', resource: 'resourcequotas' },
  limitranges: { prefix: '/api/v1', resource: 'limitranges' },
  services: { prefix: '/api/v1', resource: 'services' },
  networkpolicies: { prefix: '/apis/networking.k8s.io/v1', resource: 'networkpolicies' },
  deployments: { prefix: '/apis/apps/v1', resource: 'deployments' },
  poddisruptionbudgets: { prefix: '/apis/policy/v1', resource: 'poddisruptionbudgets' },
} as const satisfies Record<string, WatchedKind>;

export interface SeenEvent {
  readonly resource: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  /** Empty for what lies in none. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** 0 for kinds that have none. */
  readonly generation: number;
  /** When the bytes were here, by performance.now(). */
  readonly atMs: number;
  /** The event as it came, to look for a marker in. */
  readonly line: string;
}

export interface ObjectWatcherOptions {
  readonly kinds: readonly WatchedKind[];
  readonly labelSelector?: string;
  /** Whether to begin with an ADDED for each object that is there; by default only what happens from now on. */
  readonly initial?: boolean;
}

const EVENT =
  /^\{"type":"(ADDED|MODIFIED|DELETED)","object":.{0,200}?"metadata":\{"name":"([^"]+)"(?:,"generateName":"[^"]*")?(?:,"namespace":"([^"]+)")?,"uid":"([^"]+)","resourceVersion":"(\d+)"(?:,"generation":(\d+))?/;
const BOOKMARK = /^\{"type":"BOOKMARK".*?"resourceVersion":"(\d+)"/;
const REOPEN_MS = 200;

interface Waiter {
  readonly matches: (event: SeenEvent) => boolean;
  readonly resolve: (event: SeenEvent) => void;
}

export class ObjectWatcher {
  readonly #clients: Client[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #listeners = new Set<(event: SeenEvent) => void>();
  readonly #loops: Promise<void>[] = [];
  #closed = false;
  #failure: Error | undefined;

  /** Resolves when all watches are open. @throws Error when the API server refuses one */
  static async open(lab: Lab, options: ObjectWatcherOptions): Promise<ObjectWatcher> {
    const watcher = new ObjectWatcher();
    await Promise.all(options.kinds.map((kind) => watcher.#start(lab, kind, options)));
    return watcher;
  }

  /** The next event that matches. @throws Error naming `what` after `timeoutMs`, or when a watch has failed */
  async next(what: string, timeoutMs: number, matches: (event: SeenEvent) => boolean): Promise<SeenEvent> {
    if (this.#failure) throw this.#failure;
    let waiter: Waiter | undefined;
    const seen = new Promise<SeenEvent>((resolve) => {
      waiter = { matches, resolve };
      this.#waiters.add(waiter);
    });
    const abort = new AbortController();
    const late = sleep(timeoutMs, undefined, { signal: abort.signal }).then(
      () => {
        throw this.#failure ?? new Error(`${what}: not seen within ${timeoutMs} ms`);
      },
      () => new Promise<never>(() => undefined),
    );
    try {
      return await Promise.race([seen, late]);
    } finally {
      abort.abort();
      if (waiter) this.#waiters.delete(waiter);
    }
  }

  /** Calls `listener` for each event. @returns a function that ends it */
  on(listener: (event: SeenEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #start(lab: Lab, kind: WatchedKind, { labelSelector, initial = false }: ObjectWatcherOptions): Promise<void> {
    const target = await readTarget({ kubeconfig: lab.kubeconfigOf('watcher'), context: lab.cluster.context });
    const client = new Client(target.server, {
      connect: { ca: target.tls.ca ?? '' },
      bodyTimeout: 0,
      headersTimeout: 30_000,
    });
    this.#clients.push(client);
    const path = `${kind.prefix}/${kind.resource}`;
    const headers = { ...(await target.headers()), accept: 'application/json' };
    const selector = labelSelector === undefined ? '' : `&labelSelector=${encodeURIComponent(labelSelector)}`;
    let version = initial ? '0' : await currentVersion(client, path, headers);
    const open = async () => {
      const query = `watch=1&allowWatchBookmarks=true&resourceVersion=${version}${selector}`;
      const { statusCode, body } = await client.request({ method: 'GET', path: `${path}?${query}`, headers });
      if (statusCode !== 200) throw new Error(`watching ${kind.resource}: ${statusCode} ${await body.text()}`);
      return body;
    };
    let body = await open();
    const loop = async (): Promise<void> => {
      for (;;) {
        version = await this.#follow(kind.resource, body, version);
        if (this.#closed) return;
        await sleep(REOPEN_MS);
        body = await open();
      }
    };
    this.#loops.push(
      loop().catch((error: unknown) => {
        if (!this.#closed) this.#failure = error instanceof Error ? error : new Error(String(error));
      }),
    );
  }

  /** Until the API server ends the watch, as it does now and then. @returns where to go on */
  async #follow(resource: string, body: AsyncIterable<Buffer>, from: string): Promise<string> {
    let version = from;
    let rest = '';
    for await (const chunk of body) {
      const atMs = performance.now();
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) version = this.#line(resource, line, atMs) ?? version;
    }
    return version;
  }

  #line(resource: string, line: string, atMs: number): string | undefined {
    const found = EVENT.exec(line);
    if (!found) {
      const bookmark = BOOKMARK.exec(line)?.[1];
      if (bookmark === undefined) throw new Error(`a watch of ${resource} says ${line.slice(0, 300)}`);
      return bookmark;
    }
    const [, type, name = '', namespace = '', uid = '', resourceVersion = '', generation = '0'] = found;
    const event: SeenEvent = {
      resource,
      type: type as SeenEvent['type'],
      namespace,
      name,
      uid,
      resourceVersion,
      generation: Number(generation),
      atMs,
      line,
    };
    for (const listener of this.#listeners) listener(event);
    for (const waiter of this.#waiters) {
      if (waiter.matches(event)) waiter.resolve(event);
    }
    return resourceVersion;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#clients.map((client) => client.destroy()));
    await Promise.all(this.#loops);
  }
}

type Headers = Readonly<Record<string, string>>;

async function currentVersion(client: Client, path: string, headers: Headers): Promise<string> {
  const { list } = await firstPage(client, path, headers);
  const version = list.metadata?.resourceVersion;
  if (!version) throw new Error(`listing ${path}: no resourceVersion`);
  return version;
}

interface Page {
  readonly metadata?: { readonly resourceVersion?: string; readonly remainingItemCount?: number };
  readonly items?: readonly unknown[];
}

async function firstPage(client: Client, path: string, headers: Headers): Promise<{ readonly list: Page }> {
  const { statusCode, body } = await client.request({ method: 'GET', path: `${path}?limit=1`, headers });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`listing ${path}: ${statusCode} ${text}`);
  return { list: JSON.parse(text) as Page };
}

/** How many objects of a kind there are, whoever made them, by one cheap list. */
export async function countObjects(lab: Lab, { prefix, resource }: WatchedKind): Promise<number> {
  const target = await readTarget({ kubeconfig: lab.kubeconfigOf('watcher'), context: lab.cluster.context });
  const client = new Client(target.server, { connect: { ca: target.tls.ca ?? '' } });
  try {
    const { list } = await firstPage(client, `${prefix}/${resource}`, await target.headers());
    return (list.items?.length ?? 0) + (list.metadata?.remainingItemCount ?? 0);
  } finally {
    await client.close();
  }
}
