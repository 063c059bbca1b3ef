import { canonicalJson, type Json } from '../job/canonical.ts';
import { REMOVE } from '../job/merge.ts';
import { formatPath, type Path } from '../job/problem.ts';

/** What differs between two values, field by field, for people. Pure. */

/** One field; undefined where a side does not have it. */
export interface FieldChange {
  /** As people write it: `container.env[LOG].value`. */
  readonly path: string;
  readonly before: Json | undefined;
  readonly after: Json | undefined;
}

const MAX_VALUE = 40;
const SHOWN = 3;

type JsonMap = Readonly<Record<string, Json>>;

const isMap = (value: unknown): value is JsonMap =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** A list whose entries are told apart by their names, as a map; null for any other list. */
function byName(value: Json | undefined): JsonMap | null {
  if (!Array.isArray(value) || value.length === 0) return null;
  const entries = value.map((entry: Json): [string, Json] | null =>
    isMap(entry) && typeof entry.name === 'string' ? [entry.name, entry] : null,
  );
  return entries.every((entry) => entry !== null) ? Object.fromEntries(entries) : null;
}

function children(before: Json | undefined, after: Json | undefined): readonly [JsonMap, JsonMap, boolean] | null {
  if (isMap(before) && isMap(after)) return [before, after, false];
  // What is new is told field by field; what is gone by its name alone.
  if (before === undefined && isMap(after) && Object.keys(after).length > 0) return [{}, after, false];
  const [left, right] = [byName(before), byName(after)];
  return left && right ? [left, right, true] : null;
}

const inList = (name: string): string => `[${name}]`;

/** Fields in which two values differ, in the order of the first, additions last. */
export function fieldChanges(before: Json | undefined, after: Json | undefined, path = ''): FieldChange[] {
  if (before === undefined ? after === undefined : canonicalJson(before) === canonicalJson(after)) return [];
  const inner = children(before, after);
  if (!inner) return [{ path, before, after }];
  const [left, right, isList] = inner;
  // The name of an entry that is new stands in its path already.
  const isEntry = path.endsWith(']');
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])].filter((key) => !isEntry || key !== 'name');
  return keys.flatMap((key) => {
    const step = isList ? inList(key) : path === '' ? key : `.${key}`;
    return fieldChanges(left[key], right[key], `${path}${step}`);
  });
}

/** What a patch says, field by field. null and `$remove` take away, as `merge` has it. */
export function patchFields(patch: Json, path = ''): FieldChange[] {
  const entries = byName(patch);
  if (entries) return Object.entries(entries).flatMap(([name, entry]) => entryFields(entry, `${path}${inList(name)}`));
  return isMap(patch) && Object.keys(patch).length > 0
    ? Object.entries(patch).flatMap(([key, inner]) => patchFields(inner, path === '' ? key : `${path}.${key}`))
    : [{ path, before: undefined, after: patch ?? undefined }];
}

/** An entry of a list whose name stands in its path. */
function entryFields(entry: Json, path: string): FieldChange[] {
  const { name: _name, ...rest } = isMap(entry) ? entry : {};
  return rest[REMOVE] === true ? [{ path, before: undefined, after: undefined }] : patchFields(rest, path);
}

/** A value on one line, cut when it is long. */
export function shortValue(value: Json): string {
  const text = typeof value === 'string' && !/[\s,;]/.test(value) && value !== '' ? value : JSON.stringify(value);
  return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text;
}

function changeText({ path, before, after }: FieldChange): string {
  if (after === undefined) return `-${path}`;
  if (before === undefined) return `+${path}=${shortValue(after)}`;
  return `${path}=${shortValue(after)} (was ${shortValue(before)})`;
}

function firstFew(texts: readonly string[]): string {
  const shown = texts.slice(0, SHOWN).join(', ');
  return texts.length > SHOWN ? `${shown} and ${texts.length - SHOWN} more` : shown;
}

/** The first few of them on one line; how many more there are. */
export const changesText = (changes: readonly FieldChange[]): string => firstFew(changes.map(changeText));

/** What a patch says, on one line: `workers.replicas=5, -suspended`. */
export const patchText = (patch: Json): string =>
  firstFew(patchFields(patch).map((it) => (it.after === undefined ? `-${it.path}` : changeText(it).slice(1))));

/** Without the `spec` in front, which everybody who reads of a job knows: `workers.replicas`. */
export const specPath = (path: Path): string => formatPath(path[0] === 'spec' ? path.slice(1) : path);
