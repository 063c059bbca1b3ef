import type { Dispatcher } from 'undici';
import type { Answer } from './api-errors.ts';

export interface Outgoing {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With the query. */
  readonly path: string;
  /** Names and values in turn: undici takes them as they are. */
  readonly headers: readonly string[];
  readonly body: string | null;
  /** When it ends at the latest, with its answer's last byte. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** Called once at most, when the first of the answer is there. */
  readonly onCode: (code: number) => void;
}

/**
 * Sends one request and reads its answer whole. By undici's own handler instead of its `request`, which makes streams
 * and promises of what is one chunk nearly always: a quarter less CPU.
 * A call that ends early, by its time-out or `signal`, ends its connection (HTTP/1.1) or its stream (HTTP/2) with it.
 * @throws Error `TimeoutError` after `timeoutMs`, what `signal` was aborted with, or what broke the connection
 */
export function exchange(dispatcher: Dispatcher, outgoing: Outgoing): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { signal, method, path, body } = outgoing;
    if (signal?.aborted) return reject(signal.reason);
    const handler = new Exchange(outgoing, resolve, reject);
    // Types of undici ask for a mutable array; it is only read.
    dispatcher.dispatch({ method, path, headers: outgoing.headers as string[], body }, handler);
  });
}

class Exchange implements Dispatcher.DispatchHandler {
  readonly #outgoing: Outgoing;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | null = null;
  #failure: Error | null = null;
  #settled = false;
  #code = 0;
  #retryAfter: string | null = null;
  #chunks: Buffer[] = [];

  constructor(outgoing: Outgoing, resolve: (answer: Answer) => void, reject: (error: unknown) => void) {
    this.#outgoing = outgoing;
    this.#resolve = resolve;
    this.#reject = reject;
    // One for the whole of it: undici's own count anew with each piece of the answer.
    this.#timer = setTimeout(
      () => this.#abort(new DOMException('no answer in time', 'TimeoutError')),
      outgoing.timeoutMs,
    );
    outgoing.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // Given up while it waited for a connection: it must not be sent any more.
    if (this.#failure) controller.abort(this.#failure);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    code: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (code < 200 || this.#settled) return;
    this.#code = code;
    const retryAfter = headers['retry-after'];
    this.#retryAfter = typeof retryAfter === 'string' ? retryAfter : (retryAfter?.[0] ?? null);
    this.#outgoing.onCode(code);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    if (!this.#settle()) return;
    const [first] = this.#chunks;
    const text = (this.#chunks.length === 1 && first ? first : Buffer.concat(this.#chunks)).toString('utf8');
    this.#resolve({ code: this.#code, text, retryAfter: this.#retryAfter });
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#settle()) this.#reject(error);
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#outgoing.signal?.reason;
    this.#abort(reason instanceof Error ? reason : new Error(String(reason)));
  };

  #abort(error: Error): void {
    if (!this.#settle()) return;
    this.#failure = error;
    this.#chunks = [];
    this.#controller?.abort(error);
    this.#reject(error);
  }

  /** @returns whether it was still open */
  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#outgoing.signal?.removeEventListener('abort', this.#onAbort);
    return true;
  }
}
