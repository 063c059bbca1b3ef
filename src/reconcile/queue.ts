import { NO_SIGNALS, type QueueSignals } from '../ports/signals.ts';

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

export interface QueueLoad {
  readonly depth: number;
  readonly workingMs: readonly number[];
}

/**
 * Keys that need work, after controller-runtime's queue: a key is worked on by one worker at a time, a key that is
 * added again meanwhile comes back once, and each key has its own back-off. First come, first served; keys that keep
 * failing have a line of their own and never take more than `maxTroubled` workers, so that however many jobs fail, and
 * however slowly, the others are served.
 */
export class KeyQueue<K extends string> {
  /** Since when each waits; milliseconds of the monotonic clock, like all times in here. */
  readonly #ready = new Map<K, number>();
  readonly #troubled = new Map<K, number>();
  readonly #working = new Map<K, { readonly line: 'ready' | 'troubled'; readonly since: number }>();
  readonly #again = new Map<K, 'add' | 'hint'>();
  readonly #timers = new Map<K, { readonly timer: NodeJS.Timeout; readonly dueAt: number }>();
  readonly #failures = new Map<K, number>();
  readonly #repairs = new Map<K, number>();
  /** Hints before this time wait for it. */
  readonly #notBefore = new Map<K, number>();
  readonly #onReady: () => void;
  readonly #maxTroubled: number;
  readonly #signals: QueueSignals;

  /** @param onReady called whenever there is something to take */
  constructor(onReady: () => void, maxTroubled = Number.POSITIVE_INFINITY, signals = NO_SIGNALS.queue) {
    this.#onReady = onReady;
    this.#maxTroubled = maxTroubled;
    this.#signals = signals;
  }

  /** What waits to be taken, and for how long each key that was taken has been worked on. */
  get load(): QueueLoad {
    const now = performance.now();
    return {
      depth: this.#ready.size + this.#troubled.size,
      workingMs: [...this.#working.values()].map(({ since }) => now - since),
    };
  }

  /** Makes the key ready now, whatever it was waiting for: somebody wants something of it. */
  add(key: K): void {
    this.#cancelTimer(key);
    this.#notBefore.delete(key);
    if (this.#working.has(key)) {
      this.#again.set(key, 'add');
      return;
    }
    const since = this.#troubled.get(key);
    this.#troubled.delete(key);
    this.#enter(this.#ready, key, since);
  }

  /** Something happened around the key: makes it ready, but a key that backs off not before its time. */
  hint(key: K): void {
    const delayMs = (this.#notBefore.get(key) ?? 0) - performance.now();
    if (delayMs > 0) this.#readyAfter(key, delayMs);
    else this.#makeReady(key);
  }

  /** Makes the key ready after `delayMs`, or earlier where an earlier time was set already. */
  addAfter(key: K, delayMs: number): void {
    this.#signals.delayed();
    this.#readyAfter(key, delayMs);
  }

  /** Makes the key ready after its back-off, or after `askedMs` where the other side asked for it. */
  retry(key: K, askedMs: number | null = null): number {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const delayMs = askedMs ?? backOffMs(failures, DEFAULT_BACK_OFF, Math.random());
    this.#holdHints(key, delayMs);
    this.#cancelTimer(key);
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /**
   * Lets hints of the key wait a little, without making it ready by itself: for a repair that was just made. If somebody
   * else undoes it each time, the two do not go at each other in a hot loop. @returns the delay in milliseconds
   */
  slowDown(key: K): number {
    const repairs = (this.#repairs.get(key) ?? 0) + 1;
    this.#repairs.set(key, repairs);
    const delayMs = backOffMs(repairs, REPAIR_BACK_OFF, Math.random());
    this.#holdHints(key, delayMs);
    return delayMs;
  }

  /** The key went well. Its repairs are forgotten once it has been calm for a while. */
  succeeded(key: K): void {
    this.#failures.delete(key);
    const calmMs = performance.now() - (this.#notBefore.get(key) ?? Number.NEGATIVE_INFINITY);
    if (calmMs < CALM_MS) return;
    this.#repairs.delete(key);
    this.#notBefore.delete(key);
  }

  /** The key needs nobody any more. */
  forget(key: K): void {
    this.#cancelTimer(key);
    this.#failures.delete(key);
    this.#repairs.delete(key);
    this.#notBefore.delete(key);
  }

  /** The longest waiting key, now being worked on; null when none is ready. */
  take(): K | null {
    return this.#takeFrom(this.#ready, 'ready') ?? this.#takeTroubled();
  }

  /** Ends the work on a key that {@link take} gave. */
  done(key: K): void {
    const work = this.#working.get(key);
    if (work) this.#signals.done(performance.now() - work.since);
    this.#working.delete(key);
    const again = this.#again.get(key);
    this.#again.delete(key);
    if (again === 'add') this.add(key);
    if (again === 'hint') this.hint(key);
  }

  /** Drops these keys, whatever they wait for; one that is being worked on is not done again. */
  drop(isLeaving: (key: K) => boolean): void {
    const waiting = [this.#timers, this.#ready, this.#troubled, this.#again].flatMap((part) => [...part.keys()]);
    const remembered = [this.#failures, this.#repairs, this.#notBefore].flatMap((part) => [...part.keys()]);
    for (const key of new Set([...waiting, ...remembered].filter(isLeaving))) {
      this.forget(key);
      this.#ready.delete(key);
      this.#troubled.delete(key);
      this.#again.delete(key);
    }
  }

  #readyAfter(key: K, delayMs: number): void {
    const dueAt = performance.now() + delayMs;
    const known = this.#timers.get(key);
    if (known && known.dueAt <= dueAt) return;
    this.#cancelTimer(key);
    const timer = setTimeout(() => this.#makeReady(key), Math.max(0, Math.ceil(delayMs)));
    timer.unref();
    this.#timers.set(key, { timer, dueAt });
  }

  #makeReady(key: K): void {
    this.#cancelTimer(key);
    if (this.#working.has(key)) {
      if (!this.#again.has(key)) this.#again.set(key, 'hint');
      return;
    }
    const line = this.#failures.has(key) && !this.#ready.has(key) ? this.#troubled : this.#ready;
    this.#enter(line, key);
  }

  /** A key that is in the line already keeps its place. @param since when it began to wait, where it did */
  #enter(line: Map<K, number>, key: K, since?: number): void {
    if (!line.has(key)) {
      line.set(key, since ?? performance.now());
      if (since === undefined) this.#signals.added();
    }
    this.#onReady();
  }

  #takeTroubled(): K | null {
    const busy = [...this.#working.values()].filter(({ line }) => line === 'troubled').length;
    return busy < this.#maxTroubled ? this.#takeFrom(this.#troubled, 'troubled') : null;
  }

  #takeFrom(waiting: Map<K, number>, line: 'ready' | 'troubled'): K | null {
    const next = waiting.entries().next();
    if (next.done) return null;
    const [key, waitingSince] = next.value;
    waiting.delete(key);
    const since = performance.now();
    this.#working.set(key, { line, since });
    this.#signals.taken(since - waitingSince);
    return key;
  }

  #holdHints(key: K, delayMs: number): void {
    this.#notBefore.set(key, performance.now() + delayMs);
  }

  #cancelTimer(key: K): void {
    const known = this.#timers.get(key);
    if (!known) return;
    clearTimeout(known.timer);
    this.#timers.delete(key);
  }
}
