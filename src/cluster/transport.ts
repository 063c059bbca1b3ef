import { type Dispatcher, Pool } from 'undici';
import { z } from 'zod';
import { ClusterError, type ClusterErrorKind } from '../ports/cluster.ts';
import { type CallSignals, NO_CALL_SIGNALS } from '../ports/signals.ts';
import { FENCE_REMEDY } from './epoch-fence-data.ts';
import type { ClusterTarget } from './target.ts';
import { within } from './within.ts';

/** Connections shared by all calls; watches have a pool of their own, so that they never starve calls. */
const CALL_CONNECTIONS = 24;
const WATCH_CONNECTIONS = 16;
const CONNECT_TIMEOUT_MS = 5_000;
export const CALL_TIMEOUT_MS = 10_000;
/** More than this is asked for by no API server; a timer would take a far larger one for none. */
const MAX_RETRY_AFTER_MS = 60_000;
/** How the API server's audit log names us. */
export const USER_AGENT = 'bulkhead';
/** A token read from a file or made by a plugin is asked for again after this time. */
const HEADERS_MAX_AGE_MS = 30_000;
export const MERGE_PATCH = 'application/merge-patch+json';
export const JSON_PATCH = 'application/json-patch+json';
/** How the API server quotes our policies (manifests/admission) when it refuses something by it. */
const FENCE_POLICY = /ValidatingAdmissionPolicy 'bulkhead-fence(-resource)?'/;
/** What it says of a policy that cannot be evaluated for lack of its parameter, the fence itself. */
const NO_FENCE = 'failed to configure binding';

export interface CallOptions {
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What most of this folder needs of a {@link Transport}. */
export type Caller = Pick<Transport, 'call'>;

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

const statusSchema = z.object({
  message: z.string().optional(),
  reason: z.string().optional(),
  details: z
    .object({
      causes: z.array(z.object({ reason: z.string().optional(), field: z.string().optional() })).optional(),
      retryAfterSeconds: z.number().optional(),
    })
    .optional(),
});

/** HTTP to one API server: one shared pool of connections, bounded calls, typed errors. Decides nothing, retries nothing. */
export class Transport {
  readonly target: ClusterTarget;
  readonly #calls: Pool;
  readonly #watches: Pool;
  readonly #host: string;
  readonly #basePath: string;
  readonly #signals: CallSignals;
  #headers: { readonly value: Promise<Readonly<Record<string, string>>>; readonly readAt: number } | null = null;

  /** @param signals hears of every call that was sent, also of the openings of {@link lines} */
  constructor(target: ClusterTarget, signals = NO_CALL_SIGNALS) {
    this.target = target;
    this.#signals = signals;
    const url = new URL(target.server);
    this.#host = url.host;
    this.#basePath = url.pathname.replace(/\/+$/, '');
    const connect = {
      timeout: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      rejectUnauthorized: !target.tls.insecure,
      ...(target.tls.ca !== null && { ca: target.tls.ca }),
      ...(target.tls.cert !== null && { cert: target.tls.cert }),
      ...(target.tls.key !== null && { key: target.tls.key }),
      ...(target.tls.serverName !== null && { servername: target.tls.serverName }),
    };
    this.#calls = new Pool(url.origin, { connections: CALL_CONNECTIONS, connect });
    this.#watches = new Pool(url.origin, { connections: WATCH_CONNECTIONS, connect, bodyTimeout: 0 });
  }

  /**
   * One call, one answer, parsed as JSON.
   * @throws ClusterError on any answer but 2xx, on a broken connection and after `timeoutMs`
   */
  async call(method: Method, path: string, options: CallOptions = {}): Promise<unknown> {
    const timeout = AbortSignal.timeout(options.timeoutMs ?? CALL_TIMEOUT_MS);
    const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
    const what = `${method} ${path}`;
    try {
      const headers = {
        ...(await this.#authentication()),
        accept: 'application/json',
        'user-agent': USER_AGENT,
        ...(options.body !== undefined && { 'content-type': options.contentType ?? 'application/json' }),
      };
      const body = options.body === undefined ? null : JSON.stringify(options.body);
      const request = { method, path: this.#url(path, options.query), headers, body, signal };
      const response = await this.#told(method, this.#calls.request(request));
      const text = await response.body.text();
      if (response.statusCode >= 300) throw errorOf(what, response.statusCode, text, response.headers['retry-after']);
      return parseJson(what, text);
    } catch (error) {
      throw error instanceof ClusterError ? error : broken(what, error);
    }
  }

  /** A response that goes on: the lines of a watch or of a log. @throws ClusterError */
  async *lines(path: string, query: Readonly<Record<string, string>>, signal: AbortSignal): AsyncGenerator<string> {
    const what = `GET ${path}`;
    try {
      const headers = { ...(await this.#authentication()), accept: 'application/json', 'user-agent': USER_AGENT };
      const request = { path: this.#url(path, query), headers, signal, headersTimeout: CALL_TIMEOUT_MS };
      const response = await this.#told('GET', this.#watches.request({ ...request, method: 'GET' }));
      if (response.statusCode >= 300) {
        throw errorOf(what, response.statusCode, await response.body.text(), response.headers['retry-after']);
      }
      yield* splitLines(response.body);
    } catch (error) {
      throw error instanceof ClusterError ? error : broken(what, error);
    }
  }

  /** Ends all connections, also those in use. */
  async close(): Promise<void> {
    await Promise.all([this.#calls.destroy(), this.#watches.destroy()]);
  }

  /** A call's time ends with the first of its answer: what follows is read at our own pace. */
  async #told(method: Method, request: Promise<Dispatcher.ResponseData>): Promise<Dispatcher.ResponseData> {
    const sentAt = performance.now();
    let code: number | null = null;
    try {
      const response = await request;
      code = response.statusCode;
      return response;
    } finally {
      this.#signals.answered(method, this.#host, code, performance.now() - sentAt);
    }
  }

  #url(path: string, query: Readonly<Record<string, string>> | undefined): string {
    const search = new URLSearchParams(query).toString();
    return `${this.#basePath}${path}${search ? `?${search}` : ''}`;
  }

  async #authentication(): Promise<Readonly<Record<string, string>>> {
    const now = performance.now();
    if (!this.#headers || now - this.#headers.readAt > HEADERS_MAX_AGE_MS) {
      // Shared by the calls that wait for it: a plugin is started once, and a failed one is started anew.
      const value = within('reading the credentials', CALL_TIMEOUT_MS, this.target.headers());
      this.#headers = { value, readAt: now };
      value.catch(() => {
        this.#headers = null;
      });
    }
    return this.#headers.value;
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

function parseJson(what: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ClusterError('unavailable', `${what}: the answer was cut short or is no JSON`, { cause: error });
  }
}

function broken(what: string, error: unknown): ClusterError {
  const cause = error instanceof Error ? error : new Error(String(error));
  const text = cause.name === 'TimeoutError' ? 'no answer in time' : cause.message || cause.name;
  return new ClusterError('unavailable', `${what}: ${text}`, { cause });
}

type Status = z.infer<typeof statusSchema>;

function kindOf(code: number, { message = '', details }: Status): ClusterErrorKind {
  if (FENCE_POLICY.test(message)) return message.includes(NO_FENCE) ? 'unfenced' : 'fenced';
  if (details?.causes?.some((cause) => cause.reason === 'NamespaceTerminating')) return 'terminating';
  // A patch that names the UID of an object that was made anew meanwhile: for a PUT that is a 409.
  if (code === 422 && details?.causes?.some((cause) => cause.field === 'metadata.uid')) return 'conflict';
  switch (code) {
    case 401:
      return 'unauthorized';
    case 403:
      return 'forbidden';
    case 404:
      return 'gone';
    case 409:
    case 410:
      return 'conflict';
    case 400:
    case 405:
    case 413:
    case 415:
    case 422:
      return 'invalid';
    case 429:
      return 'throttled';
    default:
      return 'unavailable';
  }
}

/** The API server's own words; a body that is no Status is quoted in short. */
function errorOf(what: string, code: number, text: string, retryAfter: string | string[] | undefined): ClusterError {
  let status: Status = {};
  try {
    status = statusSchema.parse(JSON.parse(text));
  } catch {
    // A proxy's or a load balancer's own page: its code and first words are all there is to say.
  }
  const seconds = Number(retryAfter) || (status.details?.retryAfterSeconds ?? 0);
  const kind = kindOf(code, status);
  const remedy = kind === 'unfenced' ? `; ${FENCE_REMEDY}` : '';
  const message = `${what}: ${code} ${status.message ?? text.slice(0, 200)}${remedy}`;
  const retryAfterMs = Math.min(seconds * 1000, MAX_RETRY_AFTER_MS);
  return new ClusterError(kind, message, seconds > 0 ? { retryAfterMs } : {});
}
