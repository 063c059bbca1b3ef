import { NO_SIGNALS, type QueueSignals } from '../ports/signals.ts';
import { type LineName, Lines } from './lines.ts';
import { Pace } from './pace.ts';

/**
 * What a key is wanted for: a person's edit comes before a repair of what somebody else has changed, and that before
 * what is looked at only because everything is.
 */
export type Priority = 'edit' | 'repair' | 'backlog';
export type HintPriority = Exclude<Priority, 'edit'>;

export interface QueueLoad {
  /** Keys that are ready. */
  readonly depth: number;
  /** For how long each key that was taken has been worked on. */
  readonly workingMs: readonly number[];
}

export interface QueueOptions {
  /** Called whenever there may be something to take. */
  readonly onReady: () => void;
  /** Keys worked on at the same time, beside those that are stuck: three times as many, at most. */
  readonly concurrency?: number;
  readonly signals?: QueueSignals;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/** How many of each may be worked on at the same time. */
interface Limits {
  readonly all: number;
  /** All that is no edit: a person's does not wait until some call of the backlog has timed out. */
  readonly unasked: number;
  /** Keys that keep failing, edits of them included. */
  readonly failing: number;
  readonly troubled: number;
  /** Of those that are stuck, so many do not count: what hangs is bounded, too. */
  readonly aside: number;
}

const limitsOf = (concurrency: number): Limits => ({
  all: concurrency,
  unasked: Math.max(1, Math.floor((concurrency * 7) / 8)),
  failing: Math.max(1, Math.floor((concurrency * 3) / 4)),
  troubled: Math.max(1, Math.floor(concurrency / 2)),
  aside: 3 * concurrency,
});

interface Work {
  readonly line: LineName;
  readonly since: number;
}

interface Delay {
  readonly timer: NodeJS.Timeout;
  readonly dueAt: number;
}

/**
 * Work that takes longer than this waits for something of its own, and others need not wait for it: so many of it take no
 * place. In waves of this length, fifty edits that hang at once are out of a healthy one's way well within the 5 s in which
 * it is promised to be served (faults.md row 22). How many may be worked on of what nobody asked for counts them all.
 */
const STUCK_MS = 500;

/** setTimeout takes no more, and fires at once instead. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/**
 * Keys that need work, after controller-runtime's queue: a key is worked on by one worker at a time, a key that is
 * added again meanwhile comes back once, and each key has its own back-off. By priority, then first come, first served,
 * and nothing starves ({@link Lines}). Keys that keep failing never take more than half of the workers by themselves, so
 * that however many jobs fail, and however slowly, the others are served. Of a key that is calm it keeps nothing.
 */
export class KeyQueue<K extends string> {
  readonly #waiting = new Lines<K>();
  readonly #working = new Map<K, Work>();
  readonly #busy: Record<LineName, number> = { edit: 0, mend: 0, repair: 0, backlog: 0, troubled: 0 };
  /** What is wanted of keys that are worked on. */
  readonly #addAgain = new Map<K, Priority>();
  readonly #hintAgain = new Map<K, HintPriority>();
  readonly #delays = new Map<K, Delay>();
  readonly #pace: Pace<K>;
  readonly #limits: Limits;
  readonly #onReady: () => void;
  readonly #signals: QueueSignals;
  readonly #now: () => number;
  #lookingAgain: NodeJS.Timeout | null = null;

  constructor(options: QueueOptions) {
    const { onReady, concurrency = Number.POSITIVE_INFINITY, signals = NO_SIGNALS.queue } = options;
    this.#onReady = onReady;
    this.#limits = limitsOf(concurrency);
    this.#signals = signals;
    this.#now = options.now ?? performance.now.bind(performance);
    this.#pace = new Pace(this.#now);
  }

  get load(): QueueLoad {
    const now = this.#now();
    return {
      depth: this.#waiting.size,
      workingMs: [...this.#working.values()].map(({ since }) => now - since),
    };
  }

  /** Of how many keys anything is kept. */
  get remembered(): number {
    return new Set(this.#keys()).size;
  }

  /** Makes the key ready now, whatever it was waiting for: somebody wants something of it. */
  add(key: K, priority: Priority): void {
    this.#cancelDelay(key);
    this.#pace.release(key);
    if (!this.#working.has(key)) this.#enter(key, priority);
    else raise(this.#addAgain, key, priority);
  }

  /**
   * Something happened around the key: makes it ready, but a key that backs off not before its time.
   * @param priority `backlog` for what is no drift, such as workers that become ready
   */
  hint(key: K, priority: HintPriority = 'repair'): void {
    const holdMs = this.#pace.holdMs(key);
    // Of a key that was just written to, most of what is heard is the cluster’s answer: that can wait for the backlog.
    if (holdMs > 0) this.#readyAfter(key, holdMs, 'backlog');
    else this.#makeReady(key, priority);
  }

  /** Makes the key ready after `delayMs`, or earlier where an earlier time was set already. */
  addAfter(key: K, delayMs: number): void {
    this.#signals.delayed();
    this.#readyAfter(key, delayMs, 'repair');
  }

  /** Makes the key ready after its back-off, or after `askedMs` where the other side asked for it. */
  retry(key: K, askedMs: number | null = null): number {
    const delayMs = this.#pace.failed(key, askedMs);
    this.#cancelDelay(key);
    this.addAfter(key, delayMs);
    return delayMs;
  }

  /**
   * Lets hints of the key wait a little, without making it ready by itself: for a repair that was just made. If somebody
   * else undoes it each time, the two do not go at each other in a hot loop. @returns the delay in milliseconds
   */
  slowDown(key: K): number {
    return this.#pace.repaired(key);
  }

  /** The key went well. Its repairs are forgotten once it has been calm for a while. */
  succeeded(key: K): void {
    this.#pace.succeeded(key);
  }

  /** The key needs nobody any more. */
  forget(key: K): void {
    this.#cancelDelay(key);
    this.#pace.forget(key);
  }

  /** The key whose turn it is, now being worked on; null when none may be. */
  take(): K | null {
    const since = this.#now();
    const stuck = this.#stuck(since);
    const taken = this.#waiting.take(since, (line) => this.#isOpen(line, stuck));
    if (!taken) {
      if (this.#waiting.size > 0) this.#lookAgain(since, stuck);
      return null;
    }
    const { key, line } = taken;
    this.#working.set(key, { line, since });
    this.#busy[line] += 1;
    this.#signals.taken(since - taken.since);
    return key;
  }

  /** Ends the work on a key that {@link take} gave. */
  done(key: K): void {
    const work = this.#working.get(key);
    if (!work) return;
    this.#signals.done(this.#now() - work.since);
    this.#working.delete(key);
    this.#busy[work.line] -= 1;
    const priority = this.#addAgain.get(key);
    this.#addAgain.delete(key);
    const hinted = this.#hintAgain.get(key);
    this.#hintAgain.delete(key);
    if (priority) this.add(key, priority);
    if (hinted) this.hint(key, hinted);
  }

  /** Drops these keys, whatever they wait for; one that is being worked on is not done again. */
  drop(isLeaving: (key: K) => boolean): void {
    for (const key of new Set(this.#keys())) {
      if (!isLeaving(key)) continue;
      this.forget(key);
      this.#waiting.delete(key);
      this.#addAgain.delete(key);
      this.#hintAgain.delete(key);
    }
  }

  *#keys(): Generator<K> {
    const parts = [this.#waiting, this.#working, this.#addAgain, this.#hintAgain, this.#delays, this.#pace];
    for (const part of parts) yield* part.keys();
  }

  /** @param stuck how many have been worked on for too long */
  #isOpen(line: LineName, stuck: number): boolean {
    const { edit, mend, troubled } = this.#busy;
    const { all, unasked, failing, aside } = this.#limits;
    if (this.#working.size - Math.min(stuck, aside) >= all) return false;
    if (line === 'edit') return true;
    if (line === 'mend') return mend + troubled < failing;
    if (this.#working.size - edit - mend >= unasked) return false;
    return line !== 'troubled' || (troubled < this.#limits.troubled && mend + troubled < failing);
  }

  /** How many of those that are worked on have been for too long. They are in the order of their starts. */
  #stuck(now: number): number {
    let count = 0;
    for (const { since } of this.#working.values()) {
      if (now - since < STUCK_MS) break;
      count += 1;
    }
    return count;
  }

  /** Somebody waits: says so again when the next one that is worked on counts as stuck. */
  #lookAgain(now: number, stuck: number): void {
    if (this.#lookingAgain) return;
    const next = [...this.#working.values()][stuck];
    if (!next) return;
    const afterMs = Math.max(1, Math.ceil(next.since + STUCK_MS - now));
    this.#lookingAgain = setTimeout(() => {
      this.#lookingAgain = null;
      this.#onReady();
    }, afterMs).unref();
  }

  #readyAfter(key: K, delayMs: number, priority: HintPriority): void {
    const dueAt = this.#now() + delayMs;
    const known = this.#delays.get(key);
    if (known && known.dueAt <= dueAt) return;
    this.#cancelDelay(key);
    const timerMs = Math.min(MAX_DELAY_MS, Math.max(0, Math.ceil(delayMs)));
    const timer = setTimeout(() => this.#makeReady(key, priority), timerMs).unref();
    this.#delays.set(key, { timer, dueAt });
  }

  #makeReady(key: K, priority: HintPriority): void {
    this.#cancelDelay(key);
    if (this.#working.has(key)) raise(this.#hintAgain, key, priority);
    else this.#enter(key, priority);
  }

  #enter(key: K, priority: Priority): void {
    const isNew = this.#waiting.enter(key, this.#lineOf(key, priority), this.#now());
    if (isNew) this.#signals.added();
    this.#onReady();
  }

  #lineOf(key: K, priority: Priority): LineName {
    if (!this.#pace.isFailing(key)) return priority;
    return priority === 'edit' ? 'mend' : 'troubled';
  }

  #cancelDelay(key: K): void {
    const known = this.#delays.get(key);
    if (!known) return;
    clearTimeout(known.timer);
    this.#delays.delete(key);
  }
}

const RANK: Record<Priority, number> = { edit: 0, repair: 1, backlog: 2 };

/** Keeps the higher of what is wanted of the key already and what is wanted now. */
function raise<K, P extends Priority>(wanted: Map<K, P>, key: K, priority: P): void {
  const known = wanted.get(key);
  if (known === undefined || RANK[priority] < RANK[known]) wanted.set(key, priority);
}
