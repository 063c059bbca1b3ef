import { canonicalJson, isMap, type Json } from './canonical.ts';
import type { JobSpec } from './spec.ts';
import type { FieldKeeper } from './status.ts';

/** Which fields a change is about, and which of them others keep in Kubernetes. Pure. */

const inField = (path: string, field: string): string => (path === '' ? field : `${path}.${field}`);

const isSame = (before: Json | undefined, after: Json | undefined): boolean =>
  before === undefined || after === undefined ? before === after : canonicalJson(before) === canonicalJson(after);

/** The fields of a map that are there; nothing has none, and what is no map is null. */
const fieldsOf = (value: Json | undefined): ReadonlyMap<string, Json> | null =>
  value !== undefined && !isMap(value)
    ? null
    : new Map(Object.entries(value ?? {}).filter(([, inner]) => inner !== undefined));

function* changedIn(before: Json | undefined, after: Json | undefined, path: string): Generator<string, void> {
  if (isSame(before, after)) return;
  const [left, right] = [fieldsOf(before), fieldsOf(after)];
  const names = left && right ? [...new Set([...left.keys(), ...right.keys()])] : [];
  // A map without fields comes or goes as itself.
  if (!left || !right || names.length === 0) yield path;
  else for (const name of names) yield* changedIn(left.get(name), right.get(name), inField(path, name));
}

/**
 * The fields in which two specs differ: dotted paths within `spec` such as `workers.replicas`, down to single values. A
 * list is one field, whatever differs in it.
 * @param before null where there was no job: then every field of `after` is one
 * @returns each once, in the order of `before`, additions last; nothing for equal specs
 */
export function changedFields(before: JobSpec | null, after: JobSpec): string[] {
  return [...changedIn((before ?? undefined) as Json | undefined, after as Json, '')];
}

/** Whether one path is the other or lies below it; the empty one is the whole spec. */
export const overlap = (one: string, other: string): boolean =>
  one === other || one === '' || other === '' || one.startsWith(`${other}.`) || other.startsWith(`${one}.`);

/**
 * Those of the keepers' fields that a change of `fields` touches: who keeps a field keeps all below it, and is touched when
 * one above it changes.
 * @param fields as {@link changedFields} gives them
 * @returns only keepers with such a field, in their order and that of their fields
 */
export const keptAmong = (keepers: readonly FieldKeeper[], fields: readonly string[]): FieldKeeper[] =>
  keepers.flatMap(({ manager, fields: kept }) => {
    const touched = kept.filter((one) => fields.some((other) => overlap(one, other)));
    return touched.length > 0 ? [{ manager, fields: touched }] : [];
  });
