import { z } from 'zod';
import { isMap } from '../job/canonical.ts';
import type { FieldKeeper } from '../job/status.ts';
import { MANAGER } from '../plan/objects.ts';

const entrySchema = z.looseObject({
  manager: z.string().default(''),
  operation: z.string().optional(),
  subresource: z.string().default(''),
  time: z.string().default(''),
  fieldsV1: z.record(z.string(), z.unknown()).default({}),
});

export const managedFieldsSchema = z.array(entrySchema).default([]);

type Entry = z.infer<typeof entrySchema>;

/**
 * Paths of a FieldsV1 set, as far as they lead through maps: `f:name` is a field, `.` the map itself; a list's entries
 * (`k:{…}`, `v:…`, `i:…`) make the list one field. After sigs.k8s.io/structured-merge-diff, fieldpath/serialize.go.
 */
function pathsIn(fields: Record<string, unknown>, prefix: string): string[] {
  const names = Object.keys(fields).filter((key) => key.startsWith('f:'));
  if (names.length === 0) return prefix === '' ? [] : [prefix];
  return names.flatMap((key) => {
    const inner = fields[key];
    const path = prefix === '' ? key.slice(2) : `${prefix}.${key.slice(2)}`;
    return isMap(inner) ? pathsIn(inner, path) : [path];
  });
}

const specOf = ({ fieldsV1 }: Entry): Record<string, unknown> | null =>
  isMap(fieldsV1['f:spec']) ? fieldsV1['f:spec'] : null;

/** Who but Bulkhead keeps fields of `spec`, by name, and which. */
export function keepersOf(entries: readonly Entry[]): FieldKeeper[] {
  const fields = new Map<string, Set<string>>();
  for (const entry of entries) {
    const spec = specOf(entry);
    if (spec === null || entry.manager === MANAGER || entry.subresource === 'status') continue;
    const known = fields.get(entry.manager) ?? new Set();
    for (const path of pathsIn(spec, '')) known.add(path);
    fields.set(entry.manager, known);
  }
  return [...fields]
    .filter(([, paths]) => paths.size > 0)
    .map(([manager, paths]) => ({ manager, fields: [...paths].sort() }))
    .sort((a, b) => (a.manager < b.manager ? -1 : 1));
}

/** The manager that wrote `spec` most lately; `unknown` where nobody is named. */
export function lastManagerOf(entries: readonly Entry[]): string {
  const wrote = entries.filter((entry) => specOf(entry) !== null);
  const newest = wrote.reduce<Entry | null>((last, entry) => (last && last.time > entry.time ? last : entry), null);
  return newest?.manager || 'unknown';
}

/** Who wrote by the scale subresource, which is recorded without a time; null where nobody did. */
export const scaleManagerOf = (entries: readonly Entry[]): string | null =>
  entries.find((entry) => entry.subresource === 'scale' && specOf(entry) !== null)?.manager ?? null;
