import { isList, isMap, type Json } from './canonical.ts';
import type { SpecPatch } from './patch.ts';
import { PROBE_HANDLERS } from './spec.ts';

/**
 * How one layer of a goal lies above another. A patch is plain data:
 *
 * - maps merge, field by field; `null` takes a field away;
 * - lists whose entries have names ({@link KEYED_LISTS}) merge by name: entries that are there stay where they are, new
 *   ones follow in the patch's order, `{name: X, $remove: true}` takes one away;
 * - other lists and all single values are replaced.
 *
 * What several patches do one after the other is itself a patch. To say "what was there is dropped first" it needs a mark
 * that people have no use for, `$replace: true`: in a map; in a named entry, which then goes to the end of its list; or,
 * as an entry without a name, for the whole list.
 */

export const REMOVE = '$remove';
export const REPLACE = '$replace';

/** The lists whose entries are known by a name, as paths from the spec. */
export const KEYED_LISTS: ReadonlySet<string> = new Set(['container.env', 'container.ports']);
/** The field that names an entry of them. */
export const KEY = 'name';

/** Fields of one map that exclude each other: a patch that sets one takes the others away. `[]` is an entry of a list. */
export const EXCLUSIVE_FIELDS: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ['container.env[]', ['value', 'secretKeyRef']],
  ['container.probes.readiness', PROBE_HANDLERS],
  ['container.probes.liveness', PROBE_HANDLERS],
  ['container.probes.startup', PROBE_HANDLERS],
]);

type JsonMap = { readonly [field: string]: Json };

const childPath = (at: string, field: string): string => (at === '' ? field : `${at}.${field}`);

/** Marks are no fields, nor is `__proto__`: whoever builds a map by assignment would change something else. */
const isField = (name: string): boolean => name !== REMOVE && name !== REPLACE && name !== '__proto__';

/** A field's own value: every map also inherits a `constructor`. */
const own = (map: JsonMap, field: string): Json | undefined => (Object.hasOwn(map, field) ? map[field] : undefined);

/** Fields of a group that excludes each other, when a map at this place sets one of them; else none. */
function excludedAt(map: JsonMap, at: string): readonly string[] {
  const group = EXCLUSIVE_FIELDS.get(at);
  return group?.some((field) => (own(map, field) ?? null) !== null) ? group : [];
}

/** A map with nulls for what the fields that it sets exclude. */
function withExclusions(map: JsonMap, at: string): JsonMap {
  const excluded = excludedAt(map, at).filter((field) => own(map, field) === undefined);
  return excluded.length === 0 ? map : { ...map, ...Object.fromEntries(excluded.map((field) => [field, null])) };
}

function composeMaps(first: JsonMap, second: JsonMap, at: string): JsonMap {
  const isReplaced = second[REPLACE] === true;
  const [before, after] = [isReplaced ? {} : withExclusions(first, at), withExclusions(second, at)];
  const composed: Record<string, Json> = {};
  for (const field of [...Object.keys(before), ...Object.keys(after)]) {
    if (!isField(field) || Object.hasOwn(composed, field)) continue;
    const low = own(before, field);
    const high = own(after, field);
    if (low !== undefined || high !== undefined) composed[field] = composeValues(low, high, childPath(at, field));
  }
  // As people write it, without the nulls that follow from what is set.
  for (const field of excludedAt(composed, at)) if (composed[field] === null) delete composed[field];
  if (isReplaced || first[REPLACE] === true) composed[REPLACE] = true;
  return composed;
}

const keyOf = (entry: Json): string | null => (isMap(entry) && typeof entry[KEY] === 'string' ? entry[KEY] : null);

/** Entries of a keyed list by name, in order. What has no name has a symbol, and the mark for the whole list this one. */
type Entries = Map<string | symbol, Json>;
const WHOLE_LIST = Symbol('whole list');

function addEntry(entries: Entries, entry: Json, at: string): void {
  const key = keyOf(entry);
  if (key === null || !isMap(entry)) {
    const isMark = isMap(entry) && entry[REPLACE] === true;
    if (isMark) entries.clear();
    // An entry without a name is a mistake that the definition of a spec refuses; until then it is kept as it is.
    entries.set(isMark ? WHOLE_LIST : Symbol('unnamed'), isMark ? { [REPLACE]: true } : entry);
    return;
  }
  const before = entries.get(key);
  const removed = isMap(before) && before[REMOVE] === true;
  if (entry[REMOVE] === true) {
    entries.delete(key);
    entries.set(key, { [KEY]: key, [REMOVE]: true });
  } else if (entry[REPLACE] === true || removed) {
    entries.delete(key);
    entries.set(key, composeMaps({}, { ...entry, [REPLACE]: true }, `${at}[]`));
  } else {
    entries.set(key, composeValues(before, entry, `${at}[]`));
  }
}

function composeEntries(first: Json | undefined, second: readonly Json[], at: string): readonly Json[] {
  const entries: Entries = new Map();
  // Something else stood there, or null: the list begins anew.
  const base = isList(first) ? first : first === undefined ? [] : [{ [REPLACE]: true }];
  for (const entry of [...base, ...second]) addEntry(entries, entry, at);
  return [...entries.values()];
}

/** `undefined` says nothing of the place. The result is in normal form, also where only one of the two speaks. */
function composeValues(first: Json | undefined, second: Json | undefined, at: string): Json {
  if (second === undefined) return first === undefined ? null : composeValues(undefined, first, at);
  if (isList(second)) return KEYED_LISTS.has(at) ? composeEntries(first, second, at) : second;
  if (!isMap(second)) return second;
  if (first === undefined) return composeMaps({}, second, at);
  return isMap(first) ? composeMaps(first, second, at) : composeMaps({}, { ...second, [REPLACE]: true }, at);
}

/** What a patch makes of nothing; undefined where that is nothing. */
function settle(value: Json): Json | undefined {
  if (value === null) return undefined;
  if (isList(value)) {
    const isEntry = (entry: Json) =>
      !isMap(entry) || (entry[REMOVE] !== true && (entry[REPLACE] !== true || keyOf(entry) !== null));
    return value
      .filter(isEntry)
      .map(settle)
      .filter((entry) => entry !== undefined);
  }
  if (!isMap(value)) return value;
  const settled: Record<string, Json> = {};
  for (const field of Object.keys(value).filter(isField)) {
    const inner = settle(value[field] ?? null);
    if (inner !== undefined) settled[field] = inner;
  }
  return settled;
}

/** One patch that does what both do, one after the other. Associative. */
export const compose = (first: SpecPatch, second: SpecPatch): SpecPatch => composeMaps(first, second, '');

/**
 * What `patch` makes of `base`, without nulls and marks: `merge(merge(b, p), q)` equals `merge(b, compose(p, q))`. Total:
 * what is no spec and no patch of one gives a result that the definition of a spec refuses.
 */
export function merge(base: SpecPatch, patch: SpecPatch): SpecPatch {
  const merged = settle(composeMaps(base, patch, ''));
  return isMap(merged) ? merged : {};
}
