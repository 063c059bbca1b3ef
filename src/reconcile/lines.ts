/**
 * The lines that keys wait in, the first to be served first. `mend` is a person's edit of a job that keeps failing,
 * `troubled` everything else that such a job wants.
 */
export const LINES = ['edit', 'mend', 'repair', 'backlog', 'troubled'] as const;
export type LineName = (typeof LINES)[number];

/** A key that has waited for longer is owed a turn, whatever stands in the lines before its own. */
export const OVERDUE_MS = 2_000;
/**
 * A line with an overdue key gets one turn of so many. Not more: a cluster's whole backlog is overdue within seconds,
 * and would be as far ahead of an edit as without any priorities.
 */
export const OVERDUE_SHARE = 6;

/**
 * First in, first out, and any key can leave: constant time each. A Map gives its first key only by walking over those
 * that have left before it; an iterator that is kept has walked already.
 */
class Line<K> {
  readonly #since = new Map<K, number>();
  #cursor: MapIterator<[K, number]> | null = null;
  #first: readonly [K, number] | null = null;

  get size(): number {
    return this.#since.size;
  }

  get first(): readonly [K, number] | null {
    if (this.#first || this.#since.size === 0) return this.#first;
    this.#cursor ??= this.#since.entries();
    let next = this.#cursor.next();
    if (next.done) {
      this.#cursor = this.#since.entries();
      next = this.#cursor.next();
    }
    this.#first = next.value ?? null;
    return this.#first;
  }

  keys(): Iterable<K> {
    return this.#since.keys();
  }

  since(key: K): number | undefined {
    return this.#since.get(key);
  }

  add(key: K, since: number): void {
    this.#since.set(key, since);
  }

  delete(key: K): void {
    if (!this.#since.delete(key)) return;
    if (this.#first?.[0] === key) this.#first = null;
    // An iterator keeps the table that it began with, however large that was.
    if (this.#since.size === 0) this.#cursor = null;
  }
}

export interface Taken<K> {
  readonly key: K;
  readonly line: LineName;
  /** When it began to wait, in whatever line. */
  readonly since: number;
}

/** Keys that wait, each in one line. Times are milliseconds of a clock that never goes back. */
export class Lines<K> {
  readonly #lines = LINES.map((name) => ({ name, line: new Line<K>(), passedOver: 0 }));

  get size(): number {
    return this.#lines.reduce((sum, { line }) => sum + line.size, 0);
  }

  *keys(): Generator<K> {
    for (const { line } of this.#lines) yield* line.keys();
  }

  has(name: LineName): boolean {
    return (this.#lines[LINES.indexOf(name)]?.line.size ?? 0) > 0;
  }

  /**
   * Puts a key at the end of a line. One that waits already goes there only from a later line, and keeps its age.
   * @returns whether it did not wait before
   */
  enter(key: K, name: LineName, now: number): boolean {
    const wanted = LINES.indexOf(name);
    for (const [rank, { line }] of this.#lines.entries()) {
      const since = line.since(key);
      if (since === undefined) continue;
      if (rank > wanted) {
        line.delete(key);
        this.#lines[wanted]?.line.add(key, since);
      }
      return false;
    }
    this.#lines[wanted]?.line.add(key, now);
    return true;
  }

  delete(key: K): void {
    for (const { line } of this.#lines) line.delete(key);
  }

  /**
   * The first key of the first line, unless a later line is owed a turn.
   * @param isOpen whether keys of that line may be taken now
   */
  take(now: number, isOpen: (line: LineName) => boolean): Taken<K> | null {
    const open = this.#lines.filter(({ name, line }) => line.size > 0 && isOpen(name));
    const overdue = open.slice(1).filter(({ line }) => now - (line.first?.[1] ?? now) >= OVERDUE_MS);
    const chosen = overdue.find(({ passedOver }) => passedOver >= OVERDUE_SHARE - 1) ?? open[0];
    const first = chosen?.line.first;
    if (!chosen || !first) return null;
    for (const it of overdue) it.passedOver += 1;
    chosen.passedOver = 0;
    const [key, since] = first;
    chosen.line.delete(key);
    return { key, line: chosen.name, since };
  }
}
