import { z } from 'zod';
import { EXCLUSIVE_FIELDS, KEY, KEYED_LISTS, REMOVE, REPLACE } from './merge.ts';
import type { SpecPatch } from './patch.ts';
import { required, type Schema } from './schema-fields.ts';
import { jobSpecSchema } from './spec.ts';

/**
 * The definition of a patch, made from that of a spec: no field is required and each may be null, so that the rules
 * between fields are left to the merged goal. Lists that are replaced as a whole are as in a spec.
 */

const mark = z.literal(true, { error: 'expected true' }).optional();

type Fields = Readonly<Record<string, Schema>>;

/** The fields of a map, each of which may be absent or null. */
const fieldPatches = (shape: Fields, at: string): Fields =>
  Object.fromEntries(
    Object.entries(shape).map(([field, schema]) => {
      const place = at === '' ? field : `${at}.${field}`;
      return [field, z.optional(z.nullable(patchOf(schema, place)))];
    }),
  );

function mapPatch(fields: Fields, at: string) {
  const group = EXCLUSIVE_FIELDS.get(at) ?? [];
  return z.strictObject({ ...fields, [REPLACE]: mark }).superRefine((map: Readonly<Record<string, unknown>>, ctx) => {
    const set = group.filter((field) => (map[field] ?? null) !== null);
    if (set.length > 1) ctx.addIssue({ code: 'custom', message: `expected only one of ${group.join(', ')}` });
  });
}

type KeyedEntry = Readonly<Record<string, unknown>>;

/** A list whose entries have names. An entry without one is the mark that drops what was there, and stands first. */
function checkNames(entries: readonly KeyedEntry[], ctx: z.RefinementCtx): void {
  const names = new Set<unknown>();
  for (const [index, entry] of entries.entries()) {
    const name = entry[KEY];
    const isMark = index === 0 && entry[REPLACE] === true && Object.keys(entry).length === 1;
    if (name === undefined && !isMark) {
      ctx.addIssue({ code: 'custom', path: [index, KEY], message: 'expected the name of the entry that is meant' });
    } else if (names.has(name)) {
      ctx.addIssue({ code: 'custom', path: [index, KEY], message: 'expected a name that is used once' });
    }
    names.add(name);
  }
}

function keyedListPatch(list: z.ZodArray, at: string): Schema {
  const element = required(list.element);
  if (!(element instanceof z.ZodObject)) throw new TypeError(`${at}: a list by name must hold maps`);
  const shape: Fields = element.shape;
  const name = shape[KEY];
  if (name === undefined) throw new TypeError(`${at}: a list by name must hold maps with a ${KEY}`);
  const place = `${at}[]`;
  const entry = mapPatch({ ...fieldPatches(shape, place), [KEY]: z.optional(name), [REMOVE]: mark }, place);
  // A copy of the list with the same bounds on its length.
  return z.core.clone(list, { ...list._zod.def, element: entry }).superRefine((entries, ctx) => {
    checkNames(entries as readonly KeyedEntry[], ctx);
  });
}

function patchOf(schema: Schema, at: string): Schema {
  const inner = required(schema);
  if (inner instanceof z.ZodObject) return mapPatch(fieldPatches(inner.shape, at), at);
  return inner instanceof z.ZodArray && KEYED_LISTS.has(at) ? keyedListPatch(inner, at) : inner;
}

/** A patch of a spec. */
export const specPatchSchema = patchOf(jobSpecSchema, '') as z.ZodType<SpecPatch>;
