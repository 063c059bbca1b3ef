/** What many jobs have alike is worth remembering only while there are few kinds of it. */
const REMEMBERED = 500;

/** Gives equal values one place in memory. They are known by their JSON. */
export class Same<T extends object> {
  readonly #known = new Map<string, T>();

  of(value: T): T {
    const text = JSON.stringify(value);
    const known = this.#known.get(text);
    if (known) return known;
    if (this.#known.size >= REMEMBERED) this.#known.clear();
    this.#known.set(text, value);
    return value;
  }
}
