import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import type { Json } from './canonical.ts';
import { type JsonMap, PlainDocument, type Span, type ValueFinding } from './plain-document.ts';
import { type Path, printable, quoted } from './problem.ts';
import { DOCUMENT_LIMITS, type DocumentLimits, MAX_DEPTH, mebibytes } from './yaml-text.ts';

const YAML_TAG = 'tag:yaml.org,2002:';

interface YamlPair {
  readonly key: Node | null;
  readonly value: Node | null;
}

const offsetOf = (node: Node | null): number => node?.range?.[0] ?? 0;

/** Turns a tree of nodes into plain JSON, and keeps the place of everything. */
export function plainDocument(tree: Document.Parsed, limits: DocumentLimits = DOCUMENT_LIMITS): PlainDocument {
  const reader = new TreeReader(limits);
  const root: Node | null = tree.contents;
  const value = reader.readRoot(root);
  return new PlainDocument(value, offsetOf(root), reader.spans, reader.findings, reader.refused);
}

/**
 * One walk over one tree. It is ours because the library's takes over values that JSON does not have, and because each
 * alias that is filled in must count against the limits while the result grows, not after.
 */
class TreeReader {
  readonly findings: ValueFinding[] = [];
  readonly refused: Path[] = [];
  readonly spans = new Map<object, Map<string, Span>>();
  readonly #said = new Set<string>();
  readonly #anchors = new Map<string, Node>();
  /** Lists and maps around the place that is being read, also those that an alias led into. */
  readonly #open = new Set<Node>();
  readonly #path: (string | number)[] = [];
  readonly #limits: DocumentLimits;
  #values = 0;
  #characters = 0;

  constructor(limits: DocumentLimits) {
    this.#limits = limits;
  }

  readRoot(root: Node | null): Json {
    const value = root === null ? null : this.#read(root);
    if (!this.#isFull()) return value;
    const { values, bytes } = this.#limits;
    const what = this.#values > values ? `${values} values` : `${mebibytes(bytes)} of text`;
    return this.#refuse(root, `found more than ${what} with all aliases filled in, expected less`);
  }

  #isFull(): boolean {
    return this.#values > this.#limits.values || this.#characters > this.#limits.bytes;
  }

  /** An aliased place is read once for each alias; what is wrong with it is said once. */
  #complain(node: Node | null, message: string): void {
    const offset = offsetOf(node);
    const key = `${offset} ${message}`;
    if (this.#said.has(key)) return;
    this.#said.add(key);
    this.findings.push({ offset, path: [...this.#path], message });
  }

  #refuse(node: Node | null, message: string): null {
    this.#complain(node, message);
    this.refused.push([...this.#path]);
    return null;
  }

  #read(node: Node): Json {
    this.#values += 1;
    if (this.#isFull()) return null;
    if (isAlias(node)) return this.#readAlias(node);
    // As in the text, a name stands for the last value before the alias that has it.
    if ('anchor' in node && typeof node.anchor === 'string') this.#anchors.set(node.anchor, node);
    if (node.tag !== undefined && node.tag !== '!' && node.tag !== `${YAML_TAG}str`) {
      const tag = quoted(node.tag.replace(YAML_TAG, '!!'));
      return this.#refuse(node, `found the tag ${tag}, expected a plain value; no tag but !!str may be used`);
    }
    if (isScalar(node)) return this.#readScalar(node, node.value);
    if (this.#open.size >= MAX_DEPTH) {
      return this.#refuse(node, `found lists and maps more than ${MAX_DEPTH} deep, expected fewer levels`);
    }
    this.#open.add(node);
    const value = isMap(node) ? this.#readMap(node) : isSeq(node) ? this.#readList(node) : null;
    this.#open.delete(node);
    return value;
  }

  #readAlias(alias: Alias): Json {
    const target = this.#anchors.get(alias.source);
    const name = printable(alias.source.slice(0, 60));
    if (target === undefined) {
      return this.#refuse(alias, `found the alias *${name}, expected an anchor &${name} before it`);
    }
    if (this.#open.has(target)) {
      return this.#refuse(alias, `found the alias *${name} inside what it stands for, expected it elsewhere`);
    }
    return this.#read(target);
  }

  #readScalar(node: Node, value: unknown): Json {
    if (value === null || typeof value === 'boolean') return value;
    if (typeof value === 'string') {
      this.#characters += value.length;
      // Half a surrogate pair is no text, and Postgres refuses it.
      return value.isWellFormed() ? value : this.#refuse(node, 'found half a character, expected whole ones');
    }
    if (typeof value !== 'number') return this.#refuse(node, 'found a value that JSON does not have, expected text');
    if (!Number.isFinite(value)) {
      return this.#refuse(node, `found ${value}, expected a number that JSON has, or text in quotes`);
    }
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
      return this.#refuse(node, 'found a number too large to be read exactly, expected it in quotes');
    }
    // JSON knows no -0.
    return value === 0 ? 0 : value;
  }

  #readEntry(step: string | number, node: Node | null): Json {
    if (node === null) return null;
    this.#path.push(step);
    const value = this.#read(node);
    this.#path.pop();
    return value;
  }

  #readList(node: YAMLSeq): Json {
    const list: Json[] = [];
    const places = new Map<string, Span>();
    for (const [index, item] of (node.items as (Node | null)[]).entries()) {
      if (this.#isFull()) break;
      places.set(String(index), { key: offsetOf(item), value: offsetOf(item) });
      list.push(this.#readEntry(index, item));
    }
    this.spans.set(list, places);
    return list;
  }

  #repeated(name: string): string {
    const joined = name === 'apiVersion' && this.#path.length === 0;
    const remedy = joined ? '; a line --- goes between two documents' : '';
    return `found ${quoted(name)} a second time, expected each field once${remedy}`;
  }

  #readMap(node: YAMLMap): Json {
    const map: JsonMap = {};
    const places = new Map<string, Span>();
    const merges: Node[] = [];
    for (const { key, value } of node.items as YamlPair[]) {
      if (this.#isFull()) break;
      if (key === null || !isScalar(key)) {
        this.#refuse(
          key ?? node,
          'found a map, list or alias in place of a field name, expected text; a template, {{ … }}, must be filled in or quoted',
        );
        continue;
      }
      const name = key.value === null ? (key.source ?? '') : String(key.value);
      if (key.anchor !== undefined) this.#anchors.set(key.anchor, key);
      if (name === '<<' && key.type === 'PLAIN' && value !== null) merges.push(value);
      else if (places.has(name)) this.#complain(key, this.#repeated(name));
      else if (name === '__proto__') this.#complain(key, 'found "__proto__", which no field may be called');
      else {
        places.set(name, { key: offsetOf(key), value: offsetOf(value ?? key) });
        map[name] = this.#readEntry(name, value);
      }
    }
    this.spans.set(map, places);
    for (const merge of merges) this.#merge(map, places, merge);
    return map;
  }

  /** `<<: *common` and `<<: [*one, *two]`. What the map says itself wins, then what comes first. */
  #merge(map: JsonMap, places: Map<string, Span>, node: Node): void {
    const refusedBefore = this.refused.length;
    const merged = this.#read(node);
    if (this.refused.length > refusedBefore || this.#isFull()) return;
    for (const source of Array.isArray(merged) ? (merged as readonly Json[]) : [merged]) {
      if (source === null || typeof source !== 'object' || Array.isArray(source)) {
        this.#refuse(node, 'found no map after <<, expected a map, or a list of maps');
        return;
      }
      for (const [name, value] of Object.entries(source)) {
        const span = this.spans.get(source)?.get(name);
        if (span === undefined || places.has(name)) continue;
        places.set(name, span);
        map[name] = value;
      }
    }
  }
}
