import { z } from 'zod';
import { isMap, type Json } from './canonical.ts';
import type { Path } from './problem.ts';
import { isOptional, schemaAt } from './schema-fields.ts';
import { jobSpecSchema } from './spec.ts';

const PLACEHOLDER_IMAGE = 'placeholder';
const imageSchema = jobSpecSchema.shape.container.shape.image;

type Editable = Record<string | number, unknown>;

function parentOf(root: Editable, path: Path): Editable | null {
  let current: unknown = root;
  for (const step of path.slice(0, -1)) {
    if (current === null || typeof current !== 'object') return null;
    current = (current as Editable)[step];
  }
  return isMap(current) ? (current as Editable) : null;
}

const mapIn = (parent: Editable, field: string): Editable => {
  if (!isMap(parent[field])) parent[field] = {};
  return parent[field] as Editable;
};

/**
 * A copy of a document without what is wrong in it, or without the smallest optional part around that, so that the
 * rules between the fields that are left can be checked. Only its `spec` is meant to be used, and only for that.
 */
export function withoutWrong(root: Json, wrong: readonly Path[]): { readonly spec: unknown } {
  const copy: Editable = isMap(root) ? (structuredClone(root) as Editable) : {};
  for (const path of wrong) {
    for (let length = path.length; length > 0; length -= 1) {
      const schema = schemaAt(path.slice(0, length));
      const name = path[length - 1];
      // An entry taken out of a list would move the others, and a required field is not better absent than wrong.
      if (typeof name !== 'string' || (schema !== null && !isOptional(schema))) continue;
      delete parentOf(copy, path.slice(0, length))?.[name];
      break;
    }
  }
  const spec = mapIn(copy, 'spec');
  const container = mapIn(spec, 'container');
  if (!z.safeParse(imageSchema, container.image).success) container.image = PLACEHOLDER_IMAGE;
  return { spec };
}
