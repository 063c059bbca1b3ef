import type { Dispatcher, Pool } from 'undici';
import { ClusterError } from '../ports/cluster.ts';
import { type CallSignals, NO_CALL_SIGNALS } from '../ports/signals.ts';
import { type Answer, broken, errorOf, isOverload, parseJson } from './api-errors.ts';
import { callPool, WatchConnections } from './connections.ts';
import { exchange, type Outgoing } from './exchange.ts';
import type { ClusterTarget } from './target.ts';
import { within } from './within.ts';
import { type Lane, type Pass, WriteGate, type WriteLoad } from './write-gate.ts';

export const CALL_TIMEOUT_MS = 10_000;
/** How the API server's audit log names us. */
export const USER_AGENT = 'bulkhead';
/** A token read from a file or made by a plugin is asked for again after this time. */
const HEADERS_MAX_AGE_MS = 30_000;
const JSON_TYPE = 'application/json';
/** Kinds of PATCH, as its content type. */
export const MERGE_PATCH = 'application/merge-patch+json';
export const JSON_PATCH = 'application/json-patch+json';
export const APPLY_PATCH = 'application/apply-patch+yaml';

/** Parameters of a URL: by name, or as they stand in it, for those that never change. */
export type Query = Readonly<Record<string, string>> | string;

export interface CallOptions {
  readonly query?: Query;
  /** Sent as JSON; a string is sent as it is, as JSON that is ready. */
  readonly body?: unknown;
  readonly contentType?: string;
  /** For all of it: waiting for its turn, and the answer to its end. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Whose write it is: see {@link WriteGate}. */
  readonly lane?: Lane;
  /** A write that waits for no others: the few on which all others depend. */
  readonly urgent?: boolean;
}

/** A response that had begun broke off: by the other side, on the way, or since we wanted no more of it. */
export class Interrupted extends ClusterError {
  /** From its first. */
  readonly openForMs: number;

  constructor(message: string, { openForMs, ...options }: ErrorOptions & { readonly openForMs: number }) {
    super('unavailable', message, options);
    this.openForMs = openForMs;
  }
}

/** What most of this folder needs of a {@link Transport}. */
export type Caller = Pick<Transport, 'call'>;

type Method = Outgoing['method'];

/** HTTP to one API server: shared connections, bounded calls, no more writes at once than it can do, typed errors. */
export class Transport {
  readonly target: ClusterTarget;
  readonly #calls: Pool;
  readonly #watches: WatchConnections;
  readonly #gate = new WriteGate();
  readonly #host: string;
  readonly #basePath: string;
  readonly #signals: CallSignals;
  #credentials: { readonly value: Promise<Credentials>; readonly readAt: number; read: Credentials | null } | null =
    null;

  /** @param signals hears of every call that was sent, also of the openings of {@link lines} */
  constructor(target: ClusterTarget, signals = NO_CALL_SIGNALS) {
    this.target = target;
    this.#signals = signals;
    const url = new URL(target.server);
    this.#host = url.host;
    this.#basePath = url.pathname.replace(/\/+$/, '');
    this.#calls = callPool(target);
    this.#watches = new WatchConnections(target);
  }

  /** How many writes are under way, wait, and may be under way. */
  get writes(): WriteLoad {
    return this.#gate.load;
  }

  /**
   * One call, one answer, parsed as JSON. A write may wait for its turn, for half of its time.
   * @throws ClusterError on any answer but 2xx, on a broken connection and after `timeoutMs`; `throttled`, with nothing
   *   sent, when its turn did not come
   */
  async call(method: Method, path: string, options: CallOptions = {}): Promise<unknown> {
    const what = `${method} ${path}`;
    const { lane = null, timeoutMs = CALL_TIMEOUT_MS } = options;
    const until = performance.now() + timeoutMs;
    try {
      const body =
        options.body === undefined || typeof options.body === 'string' ? options.body : JSON.stringify(options.body);
      // The path is quoted in errors; nobody needs the parameters there.
      const request = {
        method,
        path: this.#url(path, options.query),
        headers: (this.#fresh() ?? (await this.#authentication())).headersFor(
          body === undefined ? null : (options.contentType ?? JSON_TYPE),
        ),
        body: body ?? null,
        signal: options.signal,
      };
      const pass =
        method === 'GET'
          ? null
          : (this.#gate.enterNow(lane, options.urgent) ??
            (await this.#gate.enter(lane, what, timeoutMs / 2, options.signal)));
      const answer = await this.#send(request, pass, until);
      if (answer.code >= 300) throw errorOf(what, answer);
      return parseJson(what, answer.text);
    } catch (error) {
      throw error instanceof ClusterError ? error : broken(what, error);
    }
  }

  /** A response that goes on: the lines of a watch or of a log. @throws ClusterError; {@link Interrupted} once it goes on */
  async *lines(path: string, query: Query, signal: AbortSignal): AsyncGenerator<string> {
    const what = `GET ${path}`;
    let openedAt: number | null = null;
    try {
      const headers = (await this.#authentication()).headersFor(null);
      const request = { path: this.#url(path, query), headers: [...headers], signal, headersTimeout: CALL_TIMEOUT_MS };
      const response = await this.#told(this.#watches.pool.request({ ...request, method: 'GET' }));
      if (response.statusCode >= 300) {
        const retryAfter = response.headers['retry-after'];
        const text = await response.body.text();
        throw errorOf(what, { code: response.statusCode, text, retryAfter: retryAfter ? String(retryAfter) : null });
      }
      openedAt = performance.now();
      yield* splitLines(response.body);
    } catch (error) {
      if (error instanceof ClusterError) throw error;
      const failure = broken(what, error);
      if (openedAt === null) throw failure;
      throw new Interrupted(failure.message, { openForMs: performance.now() - openedAt, cause: failure.cause });
    }
  }

  /** Ends all connections, also those in use. */
  async close(): Promise<void> {
    await Promise.all([this.#calls.destroy(), this.#watches.destroy()]);
  }

  /** @param pass the write's, which is given back after this; null for a read */
  async #send(request: Omit<Outgoing, 'timeoutMs' | 'onCode'>, pass: Pass | null, until: number): Promise<Answer> {
    const sentAt = performance.now();
    let code: number | null = null;
    // A call's time, for metrics, ends with the first of its answer.
    const onCode = (answered: number) => {
      code = answered;
      this.#signals.answered(request.method, this.#host, answered, performance.now() - sentAt);
    };
    try {
      const answer = await exchange(this.#calls, { ...request, timeoutMs: Math.max(1, until - sentAt), onCode });
      if (pass) this.#leave(pass, answer);
      return answer;
    } catch (error) {
      if (code === null) this.#signals.answered(request.method, this.#host, null, performance.now() - sentAt);
      if (pass) this.#gate.leave(pass, request.signal?.aborted ? 'abandoned' : 'lost');
      throw error;
    }
  }

  #leave(pass: Pass, answer: Answer): void {
    if (answer.code < 300) this.#gate.leave(pass, 'done');
    else if (isOverload(answer)) this.#gate.leave(pass, 'overloaded', errorOf('', answer).retryAfterMs ?? 0);
    else this.#gate.leave(pass, answer.code === 504 ? 'lost' : 'refused');
  }

  async #told(request: Promise<Dispatcher.ResponseData>): Promise<Dispatcher.ResponseData> {
    const sentAt = performance.now();
    let code: number | null = null;
    try {
      const response = await request;
      code = response.statusCode;
      return response;
    } finally {
      this.#signals.answered('GET', this.#host, code, performance.now() - sentAt);
    }
  }

  #url(path: string, query: Query = ''): string {
    const search = typeof query === 'string' ? query : new URLSearchParams(query).toString();
    return search === '' ? this.#basePath + path : `${this.#basePath}${path}?${search}`;
  }

  /** Those that are read and still good: nearly always, and then nobody needs to wait. */
  #fresh(): Credentials | null {
    const known = this.#credentials;
    return known && performance.now() - known.readAt <= HEADERS_MAX_AGE_MS ? known.read : null;
  }

  async #authentication(): Promise<Credentials> {
    const now = performance.now();
    if (!this.#credentials || now - this.#credentials.readAt > HEADERS_MAX_AGE_MS) {
      // Shared by the calls that wait for it: a plugin is started once, and a failed one is started anew.
      const headers = within('reading the credentials', CALL_TIMEOUT_MS, this.target.headers());
      const value = headers.then((read) => new Credentials(read));
      const reading = { value, readAt: now, read: null as Credentials | null };
      this.#credentials = reading;
      value.then(
        (read) => {
          reading.read = read;
        },
        () => {
          this.#credentials = null;
        },
      );
    }
    return this.#credentials.value;
  }
}

/** The headers of all calls with the same credentials: made once for each type of body. */
class Credentials {
  readonly #base: readonly string[];
  readonly #byType = new Map<string, readonly string[]>();

  constructor(authentication: Readonly<Record<string, string>>) {
    this.#base = [...Object.entries(authentication).flat(), 'accept', JSON_TYPE, 'user-agent', USER_AGENT];
  }

  headersFor(contentType: string | null): readonly string[] {
    if (contentType === null) return this.#base;
    const known = this.#byType.get(contentType);
    if (known) return known;
    const made = [...this.#base, 'content-type', contentType];
    this.#byType.set(contentType, made);
    return made;
  }
}

async function* splitLines(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop() ?? '';
    yield* parts;
  }
  if (rest !== '') yield rest;
}
