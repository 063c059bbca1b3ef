import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../ports/log.ts';
import type { Fence, Lease } from '../ports/store.ts';
import type { Outage } from './outage.ts';

export interface LeaseTiming {
  readonly ttlMs: number;
  readonly renewEveryMs: number;
}

/** A crashed owner is followed within 6 s and one renewal: inside the 10 s of faults.md row 20. */
export const DEFAULT_LEASE_TIMING: LeaseTiming = { ttlMs: 6_000, renewEveryMs: 2_000 };

export interface LeaseHandlers {
  /** The work is ours from now on, until `signal` aborts. */
  readonly onOwned: (fence: Fence, signal: AbortSignal) => void;
  readonly onLost: () => void;
}

/**
 * Holds the one lease under which an operator acts. The database's clock decides who owns it; on this side a monotonic
 * clock decides until when we may believe so, counted from before the question was asked.
 */
export class LeaseKeeper {
  readonly #lease: Lease;
  readonly #owner: string;
  readonly #log: Log;
  readonly #outage: Outage;
  readonly #timing: LeaseTiming;
  #held: { readonly fence: Fence; readonly abort: AbortController } | null = null;
  #validUntil = 0;
  #expiry: NodeJS.Timeout | undefined;
  #waiting = false;

  constructor(lease: Lease, owner: string, outage: Outage, log: Log, timing: LeaseTiming = DEFAULT_LEASE_TIMING) {
    this.#lease = lease;
    this.#owner = owner;
    this.#log = log;
    this.#timing = timing;
    this.#outage = outage;
  }

  /** The proof of ownership; null while we have none or cannot be sure. */
  fence(): Fence | null {
    return performance.now() < this.#validUntil ? (this.#held?.fence ?? null) : null;
  }

  /** Acquires and renews until `signal` aborts. {@link release} gives the lease up. */
  async run(handlers: LeaseHandlers, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#renew(handlers);
      await sleep(this.#timing.renewEveryMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** To be called when the last write has ended. */
  async release(): Promise<void> {
    const fence = this.#held?.fence;
    this.#drop(() => undefined);
    if (!fence) return;
    try {
      await this.#lease.release(fence);
    } catch (error) {
      this.#log.warn({ error: String(error) }, 'the lease could not be given up; a successor waits for its end');
    }
  }

  /** The store refused our fence: somebody else owns the work. */
  lost(handlers: LeaseHandlers): void {
    this.#drop(handlers.onLost);
  }

  async #renew(handlers: LeaseHandlers): Promise<void> {
    const askedAt = performance.now();
    try {
      const fence = await this.#lease.acquire(this.#owner, this.#timing.ttlMs);
      this.#outage.back('the lease');
      if (!fence) {
        this.#drop(handlers.onLost);
        if (!this.#waiting) this.#log.info({}, 'another operator owns the work; standing by');
        this.#waiting = true;
        return;
      }
      this.#waiting = false;
      this.#hold(fence, askedAt + this.#timing.ttlMs, handlers);
    } catch (error) {
      this.#outage.lost('the lease', error);
    }
  }

  #hold(fence: Fence, validUntil: number, handlers: LeaseHandlers): void {
    this.#validUntil = validUntil;
    clearTimeout(this.#expiry);
    this.#expiry = setTimeout(() => this.#drop(handlers.onLost), Math.max(0, validUntil - performance.now()));
    this.#expiry.unref();
    if (this.#held?.fence.epoch === fence.epoch) return;
    this.#drop(handlers.onLost);
    this.#validUntil = validUntil;
    const abort = new AbortController();
    this.#held = { fence, abort };
    this.#log.info({ epoch: fence.epoch }, 'this operator owns the work');
    handlers.onOwned(fence, abort.signal);
  }

  #drop(onLost: () => void): void {
    this.#validUntil = 0;
    if (!this.#held) return;
    this.#held.abort.abort();
    this.#held = null;
    onLost();
  }
}
