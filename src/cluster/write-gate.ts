import { ClusterError } from '../ports/cluster.ts';
import { type Outcome, type Ticket, WriteLimit } from './write-limit.ts';

/** More than this wait for no API server; it is far above the number of workers of one process. */
const MAX_WAITING = 1_000;

/** What has a write that hangs gets a place only while so many are free: they are for whoever comes next. */
const TROUBLED_SHARE = 0.5;

/** Whose write it is, such as a job; null for what belongs to nothing else. */
export type Lane = string | null;

interface Waiter {
  readonly lane: Lane;
  readonly admit: (pass: Pass) => void;
}

/** The right to send one write; given back with {@link WriteGate.leave}. */
export interface Pass {
  readonly ticket: Ticket;
  readonly lane: Lane;
}

/** How writes stand, for metrics. */
export interface WriteLoad {
  readonly limit: number;
  readonly inFlight: number;
  readonly waiting: number;
}

/**
 * Lets as many writes through at once as {@link WriteLimit} finds good; the others wait, first come first served. Of
 * those that wait, lanes with nothing under way come first, and those with a write that hangs come last: it then holds one
 * place, and not as many as it likes.
 */
export class WriteGate {
  readonly #limit: WriteLimit;
  readonly #now: () => number;
  /** In the order of their arrival. */
  readonly #waiting = new Set<Waiter>();
  /** Those under way of each lane; none without any is kept, and what has no lane is not here. */
  readonly #underWay = new Map<Lane, Set<Ticket>>();
  #timer: NodeJS.Timeout | null = null;

  constructor(limit = new WriteLimit(), now: () => number = () => performance.now()) {
    this.#limit = limit;
    this.#now = now;
  }

  get load(): WriteLoad {
    return { limit: this.#limit.limit, inFlight: this.#limit.inFlight, waiting: this.#waiting.size };
  }

  /** @param urgent passes all that wait, and a pause that the server asked for. @returns null where one has to wait */
  enterNow(lane: Lane, urgent = false): Pass | null {
    const now = this.#now();
    return urgent || (this.#waiting.size === 0 && this.#limit.hasRoom(now)) ? this.#start(lane, now) : null;
  }

  /**
   * @param what the call's name, for the error
   * @throws ClusterError `throttled` when its turn has not come after `timeoutMs`, or too many wait: nothing was sent
   * @throws what `signal` is aborted with
   */
  enter(lane: Lane, what: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<Pass> {
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
        lane,
        admit: (pass) => {
          leave();
          resolve(pass);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(waiter);
      this.#admit();
    });
  }

  leave({ ticket, lane }: Pass, outcome: Outcome, retryAfterMs = 0): void {
    this.#limit.end(ticket, outcome, this.#now(), retryAfterMs);
    const others = this.#underWay.get(lane);
    others?.delete(ticket);
    if (others?.size === 0) this.#underWay.delete(lane);
    if (this.#waiting.size > 0) this.#admit();
  }

  #start(lane: Lane, now: number): Pass {
    const ticket = this.#limit.start(now);
    if (lane !== null) {
      const others = this.#underWay.get(lane);
      if (others) others.add(ticket);
      else this.#underWay.set(lane, new Set([ticket]));
    }
    return { ticket, lane };
  }

  #admit(): void {
    const now = this.#now();
    this.#admitWhere((lane) => !this.#underWay.has(lane), now);
    this.#admitWhere((lane) => !this.#hangs(lane), now);
    this.#admitWhere(() => true, now, TROUBLED_SHARE);
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const at = this.#waiting.size > 0 ? this.#limit.looksAgainAt(now) : null;
    if (at !== null) this.#timer = setTimeout(() => this.#admit(), Math.max(1, at - now)).unref();
  }

  #hangs(lane: Lane): boolean {
    for (const { hangs } of this.#underWay.get(lane) ?? []) if (hangs) return true;
    return false;
  }

  #admitWhere(mayGo: (lane: Lane) => boolean, now: number, share = 1): void {
    for (const waiter of this.#waiting) {
      if (!this.#limit.hasRoom(now, share)) return;
      if (mayGo(waiter.lane)) waiter.admit(this.#start(waiter.lane, now));
    }
  }

  #refusal(what: string): ClusterError {
    const { limit, inFlight, waiting } = this.load;
    const message = `${what}: not sent: the API server is slow, ${inFlight} writes are under way (limit ${limit}) and ${waiting} wait`;
    return new ClusterError('throttled', message);
  }
}
