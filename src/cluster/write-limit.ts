/**
 * How many writes may be under way at once: found out, not set. TCP Vegas as Netflix's concurrency-limits has it (the
 * queue at the far end is `limit × (1 − best / now)`), with the additive increase and multiplicative decrease of Chiu and
 * Jain, and BBR's way to the best latency: now and then the limit is lowered for a moment, since under load there is no
 * other way to see what an unloaded server takes.
 */
export const LIMIT = {
  min: 4,
  initial: 16,
  max: 64,
  /** Fewer than this waiting at the server, and one more is let through: they keep etcd's batches full. */
  queueLow: 12,
  /** More than this, or an answer that takes so many times as long as the best, and the limit shrinks. */
  queueHigh: 20,
  slowRatio: 10,
  shrinkWhenSlow: 0.9,
  shrinkWhenRefused: 0.7,
  /** Answers on which a decision is based; as many as the limit, where that is more. */
  window: 20,
  probeEveryMs: 30_000,
  probeMs: 1_000,
  /** A write that takes longer than this, and so many times as long as others, hangs. */
  hangsAfterMs: 500,
  hangsRatio: 4,
  /** So many of those that hang take no place from others. */
  maxHanging: 128,
  /** Where nothing that started later was answered, it may as well be the server: so many times the limit, at most. */
  maxUnexplainedRatio: 4,
} as const;

/**
 * What came of a write.
 * - `done`: it was taken. Only this tells how long a write takes.
 * - `refused`: answered, but for its own sake: a conflict, an invalid object.
 * - `overloaded`: the server says that it has too much to do.
 * - `lost`: no answer in time, or a broken connection.
 * - `abandoned`: nobody waits for the answer any more.
 */
export type Outcome = 'done' | 'refused' | 'overloaded' | 'lost' | 'abandoned';

/** A write under way. */
export interface Ticket {
  readonly startedAt: number;
  hangs: boolean;
}

/** Pure: all times are given, in milliseconds of one clock that never goes back. */
export class WriteLimit {
  #limit: number = LIMIT.initial;
  /** In the order of their starts. */
  readonly #underWay = new Set<Ticket>();
  #hanging = 0;
  #heldUntil = 0;
  /** The latest start of those that were answered: whoever started before it and has no answer is alone with that. */
  #answeredStart = Number.NEGATIVE_INFINITY;
  #shrunkAt = Number.NEGATIVE_INFINITY;
  /** Typical time of an answer from a server that has little to do; null until there was one. */
  #bestMs: number | null = null;
  #recentMs = 0;
  #window: { readonly openedAt: number; readonly timesMs: number[]; peak: number } = {
    openedAt: Number.NEGATIVE_INFINITY,
    timesMs: [],
    peak: 0,
  };
  #probingSince: number | null = null;
  #probedAt = 0;

  /** A whole number from {@link LIMIT}.min to max. */
  get limit(): number {
    return this.#probingSince === null ? Math.floor(this.#limit) : LIMIT.min;
  }

  get inFlight(): number {
    return this.#underWay.size;
  }

  /** Whether one more may be sent now. @param share of the limit that may be in use then; by default all of it */
  hasRoom(now: number, share = 1): boolean {
    if (this.#probingSince !== null && now - this.#probingSince > LIMIT.probeMs) this.#endProbe(now);
    const places = Math.ceil(this.limit * share);
    this.#setHangingAside(now, places);
    return now >= this.#heldUntil && this.#counted < places;
  }

  /** When {@link hasRoom} may become true without any write's end; null: not before one. */
  looksAgainAt(now: number): number | null {
    if (now < this.#heldUntil) return this.#heldUntil;
    if (this.#probingSince !== null) return this.#probingSince + LIMIT.probeMs + 1;
    const oldest = this.#oldestCounted();
    return oldest ? Math.max(oldest.startedAt + this.#hangsAfterMs, now + LIMIT.hangsAfterMs / 10) : null;
  }

  start(now: number): Ticket {
    const ticket = { startedAt: now, hangs: false };
    this.#underWay.add(ticket);
    this.#window.peak = Math.max(this.#window.peak, this.#counted);
    return ticket;
  }

  /** @param retryAfterMs what an overloaded server asks for */
  end(ticket: Ticket, outcome: Outcome, now: number, retryAfterMs = 0): void {
    if (!this.#underWay.delete(ticket)) return;
    if (ticket.hangs) this.#hanging -= 1;
    switch (outcome) {
      case 'done':
        this.#sample(ticket, now);
        this.#answered(ticket);
        break;
      case 'refused':
        this.#answered(ticket);
        break;
      case 'overloaded':
        this.#heldUntil = Math.max(this.#heldUntil, now + retryAfterMs);
        this.#shrink(ticket, now);
        break;
      case 'lost':
        // Where later ones were answered it is this write that has trouble, not the server.
        if (!this.#isAlone(ticket)) this.#shrink(ticket, now);
        break;
      case 'abandoned':
        break;
    }
  }

  get #counted(): number {
    return this.#underWay.size - this.#hanging;
  }

  get #hangsAfterMs(): number {
    return Math.max(LIMIT.hangsAfterMs, LIMIT.hangsRatio * this.#recentMs);
  }

  #answered(ticket: Ticket): void {
    this.#answeredStart = Math.max(this.#answeredStart, ticket.startedAt);
  }

  #isAlone(ticket: Ticket): boolean {
    return ticket.startedAt < this.#answeredStart;
  }

  #oldestCounted(): Ticket | undefined {
    for (const ticket of this.#underWay) if (!ticket.hangs) return ticket;
    return undefined;
  }

  /**
   * What hangs while others are answered waits for something of its own: it leaves its place to others. So do some where
   * no other was answered, since with all places taken by such writes none can be: what follows them shows which it is.
   * Of a server that is slow the limit sinks, and with it how many that are.
   */
  #setHangingAside(now: number, places: number): void {
    if (this.#counted < places) return;
    const maxUnexplained = Math.min(LIMIT.maxHanging, LIMIT.maxUnexplainedRatio * this.limit);
    for (const ticket of this.#underWay) {
      if (now - ticket.startedAt < this.#hangsAfterMs) return;
      const most = this.#isAlone(ticket) ? LIMIT.maxHanging : maxUnexplained;
      if (ticket.hangs || this.#hanging >= most) continue;
      ticket.hangs = true;
      this.#hanging += 1;
    }
  }

  /** At most once for all that were under way together: they met the same trouble. */
  #shrink(ticket: Ticket, now: number): void {
    if (ticket.startedAt < this.#shrunkAt) return;
    this.#limit = Math.max(LIMIT.min, this.#limit * LIMIT.shrinkWhenRefused);
    this.#shrunkAt = now;
    this.#openWindow(now);
  }

  #sample(ticket: Ticket, now: number): void {
    const { openedAt, timesMs } = this.#window;
    // What started before was under another limit. What hung by itself tells nothing; where no other was answered
    // meanwhile, it was the server.
    if (ticket.startedAt < openedAt || (ticket.hangs && this.#isAlone(ticket))) return;
    timesMs.push(now - ticket.startedAt);
    if (timesMs.length >= Math.max(LIMIT.window, this.limit)) this.#decide(now);
  }

  #decide(now: number): void {
    const { timesMs, peak } = this.#window;
    const nowMs = median(timesMs);
    this.#recentMs = nowMs;
    if (this.#probingSince !== null) {
      this.#bestMs = nowMs;
      this.#endProbe(now);
      return;
    }
    // Where few were under way, this was a look at an unloaded server without any probe.
    const unloaded = peak <= LIMIT.min;
    this.#bestMs = this.#bestMs === null || unloaded ? nowMs : Math.min(this.#bestMs, nowMs);
    if (unloaded) this.#probedAt = now;
    this.#adapt(nowMs, this.#bestMs, peak);
    if (peak >= this.limit && now - this.#probedAt > LIMIT.probeEveryMs) this.#probingSince = now;
    this.#openWindow(now);
  }

  #adapt(nowMs: number, bestMs: number, peak: number): void {
    const queue = this.#limit * (1 - bestMs / Math.max(nowMs, bestMs));
    const slow = nowMs > LIMIT.slowRatio * bestMs;
    if (slow || queue > LIMIT.queueHigh) {
      this.#limit = Math.max(LIMIT.min, this.#limit * LIMIT.shrinkWhenSlow);
    } else if (queue < LIMIT.queueLow && peak >= this.limit) {
      this.#limit = Math.min(LIMIT.max, this.#limit + 1);
    }
  }

  #endProbe(now: number): void {
    this.#probingSince = null;
    this.#probedAt = now;
    this.#openWindow(now);
  }

  #openWindow(now: number): void {
    this.#window = { openedAt: now, timesMs: [], peak: this.#counted };
  }
}

function median(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[values.length >> 1] ?? 0;
}
