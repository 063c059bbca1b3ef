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

interface Past {
  /** In a row. */
  failures: number;
  repairs: number;
  /** Hints before this time wait for it. */
  notBefore: number;
}

/**
 * How fast each key may come again, by what has become of it lately. It knows only keys that fail, and those that were
 * written to a moment ago: what is calm is forgotten by itself.
 */
export class Pace<K extends string> {
  readonly #past = new Map<K, Past>();
  readonly #now: () => number;
  #sweep: NodeJS.Timeout | null = null;

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  keys(): Iterable<K> {
    return this.#past.keys();
  }

  isFailing(key: K): boolean {
    return (this.#past.get(key)?.failures ?? 0) > 0;
  }

  /** For how long a hint of the key has to wait yet; 0 or less: not at all. */
  holdMs(key: K): number {
    const past = this.#past.get(key);
    return past ? past.notBefore - this.#now() : 0;
  }

  /** @param askedMs what the other side asked for, where it did. @returns the delay until the next try */
  failed(key: K, askedMs: number | null): number {
    const past = this.#of(key);
    past.failures += 1;
    return this.#hold(past, askedMs ?? backOffMs(past.failures, DEFAULT_BACK_OFF, Math.random()));
  }

  /** @returns for how long hints of the key wait */
  repaired(key: K): number {
    const past = this.#of(key);
    past.repairs += 1;
    return this.#hold(past, backOffMs(past.repairs, REPAIR_BACK_OFF, Math.random()));
  }

  /** Its failures are over; its repairs are once it has been calm for a while. */
  succeeded(key: K): void {
    const past = this.#past.get(key);
    if (!past) return;
    past.failures = 0;
    if (this.#isCalm(past)) this.#past.delete(key);
  }

  /** Somebody wants something of the key: nothing that it does is held back. It fails until it has gone well. */
  release(key: K): void {
    const past = this.#past.get(key);
    if (!past) return;
    past.notBefore = Number.NEGATIVE_INFINITY;
    if (past.failures === 0) this.#past.delete(key);
  }

  forget(key: K): void {
    this.#past.delete(key);
  }

  #of(key: K): Past {
    const past = this.#past.get(key) ?? { failures: 0, repairs: 0, notBefore: Number.NEGATIVE_INFINITY };
    this.#past.set(key, past);
    this.#sweepLater();
    return past;
  }

  #hold(past: Past, delayMs: number): number {
    past.notBefore = this.#now() + delayMs;
    return delayMs;
  }

  #isCalm({ failures, notBefore }: Past): boolean {
    return failures === 0 && this.#now() - notBefore >= CALM_MS;
  }

  #sweepLater(): void {
    if (this.#sweep || this.#past.size === 0) return;
    this.#sweep = setTimeout(() => {
      this.#sweep = null;
      for (const [key, past] of this.#past) if (this.#isCalm(past)) this.#past.delete(key);
      this.#sweepLater();
    }, CALM_MS).unref();
  }
}
