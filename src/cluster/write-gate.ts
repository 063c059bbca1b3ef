import { ClusterError } from '../ports/cluster.ts';
import { type Outcome, type Ticket, WriteLimit } from './write-limit.ts';

/** More than this wait for no API server; it is far above the number of workers of one process. */
const MAX_WAITING = 1_000;

interface Waiter {
  readonly admit: (ticket: Ticket) => void;
}

/** How writes stand, for metrics. */
export interface WriteLoad {
  readonly limit: number;
  readonly inFlight: number;
  readonly waiting: number;
}

/** Lets as many writes through at once as {@link WriteLimit} finds good; the others wait, first come first served. */
export class WriteGate {
  readonly #limit: WriteLimit;
  readonly #now: () => number;
  /** In the order of their arrival. */
  readonly #waiting = new Set<Waiter>();
  #timer: NodeJS.Timeout | null = null;

  constructor(limit = new WriteLimit(), now: () => number = () => performance.now()) {
    this.#limit = limit;
    this.#now = now;
  }

  get load(): WriteLoad {
    return { limit: this.#limit.limit, inFlight: this.#limit.inFlight, waiting: this.#waiting.size };
  }

  /** @param urgent passes all that wait, and a pause that the server asked for. @returns null where one has to wait */
  enterNow(urgent: boolean): Ticket | null {
    const now = this.#now();
    return urgent || (this.#waiting.size === 0 && this.#limit.hasRoom(now)) ? this.#limit.start(now) : null;
  }

  /**
   * @param what the call's name, for the error
   * @throws ClusterError `throttled` when its turn has not come after `timeoutMs`, or too many wait: nothing was sent
   * @throws what `signal` is aborted with
   */
  enter(what: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<Ticket> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (this.#waiting.size >= MAX_WAITING) return reject(this.#refusal(what));
      const leave = () => {
        this.#waiting.delete(waiter);
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const onAbort = () => {
        leave();
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        leave();
        reject(this.#refusal(what));
      }, timeoutMs);
      const waiter: Waiter = {
        admit: (ticket) => {
          leave();
          resolve(ticket);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(waiter);
      this.#admit();
    });
  }

  leave(ticket: Ticket, outcome: Outcome, retryAfterMs = 0): void {
    this.#limit.end(ticket, outcome, this.#now(), retryAfterMs);
    if (this.#waiting.size > 0) this.#admit();
  }

  #admit(): void {
    const now = this.#now();
    for (const waiter of this.#waiting) {
      if (!this.#limit.hasRoom(now)) break;
      waiter.admit(this.#limit.start(now));
    }
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const at = this.#waiting.size > 0 ? this.#limit.looksAgainAt(now) : null;
    if (at !== null) this.#timer = setTimeout(() => this.#admit(), Math.max(1, at - now)).unref();
  }

  #refusal(what: string): ClusterError {
    const { limit, inFlight, waiting } = this.load;
    const message = `${what}: not sent: the API server is slow, ${inFlight} writes are under way (limit ${limit}) and ${waiting} wait`;
    return new ClusterError('throttled', message);
  }
}
