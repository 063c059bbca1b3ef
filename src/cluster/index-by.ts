/** Values by a key of their own, and by a group that each of them names; empty groups take no memory. */
export class Index<V> {
  readonly #values = new Map<string, V>();
  readonly #groups = new Map<string, Map<string, V>>();
  readonly #groupOf: (value: V) => string;

  constructor(groupOf: (value: V) => string) {
    this.#groupOf = groupOf;
  }

  get(key: string): V | undefined {
    return this.#values.get(key);
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  values(): Iterable<V> {
    return this.#values.values();
  }

  /** The values of one group, by their keys; valid until the next change. */
  of(group: string): ReadonlyMap<string, V> {
    return this.#groups.get(group) ?? new Map<string, V>();
  }

  groups(): Iterable<[string, ReadonlyMap<string, V>]> {
    return this.#groups;
  }

  set(key: string, value: V): void {
    this.delete(key);
    this.#values.set(key, value);
    const group = this.#groupOf(value);
    const members = this.#groups.get(group) ?? new Map<string, V>();
    this.#groups.set(group, members.set(key, value));
  }

  /** @returns what was there */
  delete(key: string): V | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    const group = this.#groupOf(value);
    const members = this.#groups.get(group);
    members?.delete(key);
    if (members?.size === 0) this.#groups.delete(group);
    return value;
  }
}
