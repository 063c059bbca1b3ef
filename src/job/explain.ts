import { isList, isMap, type Json } from './canonical.ts';
import { effectiveSpec, fullSpec } from './defaults.ts';
import type { Goal, Source } from './goal.ts';
import type { Revision } from './ids.ts';
import { mergeLayers, type StackedLayer, stackedLayers } from './layers.ts';
import { compose, KEY, KEYED_LISTS, merge, REMOVE, REPLACE } from './merge.ts';
import type { SpecPatch } from './patch.ts';
import { inSchemaOrder } from './schema-fields.ts';
import { jobSpecSchema } from './spec.ts';

/** Who says what a field is. */
export type FieldOrigin =
  | { readonly scope: 'built-in' }
  | {
      readonly scope: StackedLayer['scope'];
      readonly revision: Revision;
      readonly author: string;
      readonly source: Source;
      readonly reason: string | null;
      readonly createdAt: Date;
    };

export interface ExplainedField {
  /** As `--set` takes it: `container.env[LOG_LEVEL].value`. */
  readonly path: string;
  /** Lists as JSON, all else as it is; null for a field that a layer said and a higher one (`from`) took away. */
  readonly value: string | null;
  readonly from: FieldOrigin;
  /** What lower layers said, highest first; a built-in default comes last. */
  readonly overridden: readonly { readonly value: string; readonly from: FieldOrigin }[];
  /** Where a built-in default came back: the layer that took away what lower ones said. */
  readonly removedBy: FieldOrigin | null;
}

/** Fields by their paths: single values, and lists that are replaced as a whole. */
type Leaves = ReadonlyMap<string, Json>;

const BUILT_IN: FieldOrigin = { scope: 'built-in' };

/** @param at as {@link KEYED_LISTS} names places, and `written` as people do */
function* leavesIn(value: Json, at = '', written = ''): Generator<[string, Json], void> {
  if (isList(value) && KEYED_LISTS.has(at)) {
    for (const entry of value) {
      const { [KEY]: name, ...fields } = isMap(entry) ? entry : {};
      yield* leavesIn(fields, `${at}[]`, `${written}[${String(name)}]`);
    }
  } else if (isMap(value)) {
    for (const [field, inner] of Object.entries(value)) {
      const join = (head: string) => (head === '' ? field : `${head}.${field}`);
      yield* leavesIn(inner, join(at), join(written));
    }
  } else yield [written, value];
}

const leavesOf = (value: Json): Leaves => new Map(leavesIn(value));

const valueText = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** A value, and the number of the layer that says it: what stands in place of every leaf of a marked patch. */
const markText = (layer: number, value: Json): string => JSON.stringify([layer, value]);
function readMark(text: Json): { readonly layer: number; readonly value: Json } {
  const [layer, value] = JSON.parse(String(text)) as [number, Json];
  return { layer, value };
}

/** A patch that does the same, but whose leaves say which layer they come from. */
function marked(value: Json, layer: number, at = ''): Json {
  if (value === null) return null;
  if (isList(value) && KEYED_LISTS.has(at)) return value.map((entry) => marked(entry, layer, `${at}[]`));
  if (!isMap(value)) return markText(layer, value);
  const isKept = (field: string) => field === REMOVE || field === REPLACE || (field === KEY && at.endsWith('[]'));
  return Object.fromEntries(
    Object.entries(value).map(([field, inner]) => {
      const place = at === '' ? field : `${at}.${field}`;
      return [field, isKept(field) ? inner : marked(inner, layer, place)];
    }),
  );
}

/** For each number of layers, from the lowest on: who says what where only these are there. Merged as the goal is. */
function risingLeaves(stack: readonly StackedLayer[]): Leaves[] {
  let composed: SpecPatch = {};
  return stack.map(({ patch }, layer) => {
    composed = compose(composed, marked(patch, layer) as SpecPatch);
    return leavesOf(merge({}, composed));
  });
}

const originOf = ({ scope, revision }: StackedLayer): FieldOrigin => ({
  scope,
  revision: revision.revision,
  author: revision.author,
  source: revision.source,
  reason: revision.reason,
  createdAt: revision.createdAt,
});

/** What became of one field from layer to layer. */
interface FieldHistory {
  readonly saidBy: FieldOrigin | null;
  readonly takenBy: FieldOrigin | null;
  readonly hidden: ExplainedField['overridden'];
}

function historyOf(path: string, rising: readonly Leaves[], origins: readonly FieldOrigin[]): FieldHistory {
  let current: Json | undefined;
  let saidBy: FieldOrigin | null = null;
  let takenBy: FieldOrigin | null = null;
  const hidden: { value: string; from: FieldOrigin }[] = [];
  for (const [layer, leaves] of rising.entries()) {
    const next = leaves.get(path);
    if (next === current) continue;
    if (current !== undefined && saidBy) hidden.unshift({ value: valueText(readMark(current).value), from: saidBy });
    current = next;
    saidBy = (next === undefined ? null : origins[readMark(next).layer]) ?? null;
    takenBy = (next === undefined ? origins[layer] : null) ?? null;
  }
  return { saidBy, takenBy, hidden };
}

/** What a spec gets that says nothing: an image is all that has no default. */
function builtInLeaves(): Leaves {
  const leaves = new Map(leavesOf(fullSpec(effectiveSpec({ container: { image: '' } }))));
  leaves.delete('container.image');
  return leaves;
}

/** What the goal is in the end: with the built-in defaults, unless the layers together are no spec. */
function effectiveLeaves(goal: Goal): Leaves {
  const merged = mergeLayers(goal.layers, goal.platform);
  const parsed = jobSpecSchema.safeParse(merged);
  return leavesOf(
    parsed.success ? fullSpec(effectiveSpec(parsed.data)) : (inSchemaOrder(jobSpecSchema, merged) as Json),
  );
}

/**
 * Every field of the effective goal, in the order of the definition, with who said it and what that hides; then the fields
 * that a layer took away. Also of a goal that was refused; of a removed job nothing.
 */
export function explain(goal: Goal): ExplainedField[] {
  if (goal.content.kind === 'tombstone') return [];
  const stack = stackedLayers(goal.layers, goal.platform);
  const origins = stack.map(originOf);
  const rising = risingLeaves(stack);
  const builtIn = builtInLeaves();
  const effective = effectiveLeaves(goal);
  const there = [...effective].map(([path, value]): ExplainedField => {
    const { saidBy, takenBy, hidden } = historyOf(path, rising, origins);
    const fallback = saidBy === null ? undefined : builtIn.get(path);
    const lowest = fallback === undefined ? [] : [{ value: valueText(fallback), from: BUILT_IN }];
    const overridden = [...hidden, ...lowest];
    return { path, value: valueText(value), from: saidBy ?? BUILT_IN, overridden, removedBy: takenBy };
  });
  const said = new Set(rising.flatMap((leaves) => [...leaves.keys()]));
  const taken = [...said].filter((path) => !effective.has(path));
  return [
    ...there,
    ...taken.map((path): ExplainedField => {
      const { takenBy, hidden } = historyOf(path, rising, origins);
      return { path, value: null, from: takenBy ?? BUILT_IN, overridden: hidden, removedBy: takenBy };
    }),
  ];
}
