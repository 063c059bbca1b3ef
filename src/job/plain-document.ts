import { isMap, type Json } from './canonical.ts';
import { isInside, type Path } from './problem.ts';

/** Offsets of a field's name and of its value. Entries of lists have no name: both are the value's. */
export interface Span {
  readonly key: number;
  readonly value: number;
}

/** A mistake at a place that a path leads to. */
export interface ValueFinding {
  readonly offset: number;
  readonly path: Path;
  readonly message: string;
}

export type JsonMap = Record<string, Json>;
/** Of each list and map: where its entries and fields are written. */
export type Spans = ReadonlyMap<object, Map<string, Span>>;

/** A document as plain JSON, and where each part of it is written. */
export class PlainDocument {
  readonly value: Json;
  readonly findings: readonly ValueFinding[];
  readonly #start: number;
  readonly #spans: Spans;
  #refused: readonly Path[];

  /** @param start offset of the whole value */
  constructor(value: Json, start: number, spans: Spans, findings: readonly ValueFinding[], refused: readonly Path[]) {
    this.value = value;
    this.findings = findings;
    this.#start = start;
    this.#spans = spans;
    this.#refused = refused;
  }

  /** Paths whose values could not be taken over: null stands there instead, and nothing more should be said of them. */
  get refused(): readonly Path[] {
    return this.#refused;
  }

  /** Where `path` leads to, or the nearest map or list around it that is written. */
  spanOf(path: Path): Span {
    let span: Span = { key: this.#start, value: this.#start };
    let current: unknown = this.value;
    for (const step of path) {
      const next =
        current !== null && typeof current === 'object' ? this.#spans.get(current)?.get(String(step)) : undefined;
      if (next === undefined) return { key: span.value, value: span.value };
      span = next;
      current = (current as JsonMap)[step];
    }
    return span;
  }

  /** Takes a misspelt field for the one that was meant, so that what is in it can be checked too. */
  rename(path: Path, name: string): void {
    const parentPath = path.slice(0, -1);
    const old = String(path.at(-1));
    const parent = parentPath.reduce<unknown>((at, step) => (at as JsonMap | undefined)?.[step], this.value);
    const places = isMap(parent) ? this.#spans.get(parent) : undefined;
    const place = places?.get(old);
    if (!isMap(parent) || places === undefined || place === undefined) return;
    parent[name] = parent[old] ?? null;
    delete parent[old];
    // The old name keeps its place: the complaint about it points there.
    places.set(name, place);
    this.#refused = this.#refused.map((p) => (isInside(p, path) ? [...parentPath, name, ...p.slice(path.length)] : p));
  }
}
