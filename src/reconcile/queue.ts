/** When the next try of a key comes after so many failures in a row. */
export interface BackOff {
  readonly baseMs: number;
  readonly maxMs: number;
}

/**
 * First a quarter of a second, then doubled. The limit keeps a repaired fault's recovery within the 30 s of faults.md
 * and a thousand failing jobs at some fifty tries a second.
 */
export const DEFAULT_BACK_OFF: BackOff = { baseMs: 250, maxMs: 20_000 };

/** Between repairs of one job: below the 5 s within which each of them is promised (faults.md row 23). */
const REPAIR_BACK_OFF: BackOff = { baseMs: 100, maxMs: 3_000 };

/** A key that went well for this long after its last back-off starts afresh. */
const CALM_MS = 10_000;

/** @param random from 0 to 1: spreads keys that failed together over the last fifth of the delay */
export function backOffMs(failures: number, { baseMs, maxMs }: BackOff, random: number): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(full * (0.8 + 0.2 * random));
}

/**
 * Keys that need work, after controller-runtime's queue: a key is worked on by one worker at a time, a key that is
 * added again meanwhile comes back once, and each key has its own back-off, so that one job's failure delays no other.
 * First come, first served.
 */
export class KeyQueue<K extends string> {
  readonly #ready = new Set<K>();
  readonly #working = new Set<K>();
  readonly #again = new Set<K>();
  readonly #timers = new Map<K, { readonly timer: NodeJS.Timeout; readonly dueAt: number }>();
  readonly #failures = new Map<K, number>();
  /** Hints before this time wait for it; milliseconds of the monotonic clock. */
  readonly #notBefore = new Map<K, number>();
  readonly #backOff: BackOff;
  readonly #onReady: () => void;

  /** @param onReady called whenever there is something to take */
  constructor(onReady: () => void, backOff: BackOff = DEFAULT_BACK_OFF) {
    this.#onReady = onReady;
    this.#backOff = backOff;
  }

  /** Makes the key ready now, whatever it was waiting for: somebody wants something of it. */
  add(key: K): void {
    this.#cancelTimer(key);
    this.#notBefore.delete(key);
    this.#enqueue(key);
  }

  /** Something happened around the key: makes it ready, but a key that backs off not before its time. */
  hint(key: K): void {
    const delayMs = (this.#notBefore.get(key) ?? 0) - performance.now();
    if (delayMs > 0) {
      this.addAfter(key, delayMs);
      return;
    }
    this.#cancelTimer(key);
    this.#enqueue(key);
  }

  #enqueue(key: K): void {
    if (this.#working.has(key)) {
      this.#again.add(key);
      return;
    }
    this.#ready.add(key);
    this.#onReady();
  }

  /** Makes the key ready after `delayMs`, or earlier where an earlier time was set already. */
  addAfter(key: K, delayMs: number): void {
    const dueAt = performance.now() + delayMs;
    const known = this.#timers.get(key);
    if (known && known.dueAt <= dueAt) return;
    this.#cancelTimer(key);
    const timer = setTimeout(
      () => {
        this.#timers.delete(key);
        this.add(key);
      },
      Math.max(0, delayMs),
    );
    timer.unref();
    this.#timers.set(key, { timer, dueAt });
  }

  /** Makes the key ready after its back-off. @returns the delay in milliseconds */
  retry(key: K): number {
    const delayMs = this.#holdHints(key, this.#backOff);
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /**
   * Lets hints of the key wait a little, without making it ready by itself: for a repair that was just made. If somebody
   * else undoes it each time, the two do not go at each other in a hot loop. @returns the delay in milliseconds
   */
  slowDown(key: K): number {
    return this.#holdHints(key, REPAIR_BACK_OFF);
  }

  #holdHints(key: K, backOff: BackOff): number {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const delayMs = backOffMs(failures, backOff, Math.random());
    this.#notBefore.set(key, performance.now() + delayMs);
    return delayMs;
  }

  /** The key went well, and not just for a moment: its next failure starts from the shortest delay. */
  succeeded(key: K): void {
    const calmMs = performance.now() - (this.#notBefore.get(key) ?? Number.NEGATIVE_INFINITY);
    if (calmMs < CALM_MS) return;
    this.#failures.delete(key);
    this.#notBefore.delete(key);
  }

  /** The longest waiting key, now being worked on; null when none is ready. */
  take(): K | null {
    const next = this.#ready.values().next();
    if (next.done) return null;
    this.#ready.delete(next.value);
    this.#working.add(next.value);
    return next.value;
  }

  /** Ends the work on a key that {@link take} gave. */
  done(key: K): void {
    this.#working.delete(key);
    if (this.#again.delete(key)) this.#enqueue(key);
  }

  /** Drops everything but the keys being worked on. */
  clear(): void {
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#ready.clear();
    this.#again.clear();
    this.#failures.clear();
    this.#notBefore.clear();
  }

  get depth(): number {
    return this.#ready.size;
  }

  get working(): number {
    return this.#working.size;
  }

  #cancelTimer(key: K): void {
    const known = this.#timers.get(key);
    if (!known) return;
    clearTimeout(known.timer);
    this.#timers.delete(key);
  }
}
