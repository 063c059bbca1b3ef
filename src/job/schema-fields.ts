import { z } from 'zod';
import type { Path } from './problem.ts';
import { streamJobSchema } from './spec.ts';

export type Schema = z.core.$ZodType;

/** The definition of a value that is there. */
export const required = (schema: Schema): Schema =>
  schema instanceof z.ZodOptional || schema instanceof z.ZodNullable ? required(schema.unwrap()) : schema;

function step(schema: Schema, to: string | number): Schema | null {
  const inner = required(schema);
  if (inner instanceof z.ZodArray) return inner.element;
  if (!(inner instanceof z.ZodObject)) return null;
  const shape: Record<string, Schema> = inner.shape;
  return Object.hasOwn(shape, to) ? (shape[to] ?? null) : null;
}

/** The definition of what `path` leads to, from `root` on, by itself a document with a job; null when it has no such thing. */
export function schemaAt(path: Path, root: Schema = streamJobSchema): Schema | null {
  let schema: Schema | null = root;
  for (const to of path) schema = schema && step(schema, to);
  return schema;
}

/** Names of the fields of a map, in the order of their definition. Empty when it is no map. */
export function fieldNames(schema: Schema | null): readonly string[] {
  const inner = schema && required(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

export const isOptional = (schema: Schema): boolean => schema instanceof z.ZodOptional;

/** Paths of all fields called `name`, outermost first; lists are stepped over. */
export function pathsOf(name: string, root: Schema): Path[] {
  const found: Path[] = [];
  const queue: { schema: Schema; path: Path }[] = [{ schema: root, path: [] }];
  for (const { schema, path } of queue) {
    const inner = required(schema);
    if (inner instanceof z.ZodArray) queue.push({ schema: inner.element, path: [...path, 0] });
    if (!(inner instanceof z.ZodObject)) continue;
    for (const [field, child] of Object.entries<Schema>(inner.shape)) {
      if (field === name) found.push([...path, field]);
      queue.push({ schema: child, path: [...path, field] });
    }
  }
  return found;
}

/** `value` with the fields of every map in the order of their definition. What the definition does not know comes last. */
export function inSchemaOrder(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map((entry) => {
      const element = step(schema, 0);
      return element ? inSchemaOrder(element, entry) : entry;
    });
  }
  if (value === null || typeof value !== 'object') return value;
  const fields = new Map<string, unknown>(Object.entries(value));
  const names = [...new Set([...fieldNames(schema), ...fields.keys()])].filter(
    (name) => fields.get(name) !== undefined,
  );
  return Object.fromEntries(
    names.map((name) => {
      const child = step(schema, name);
      return [name, child ? inSchemaOrder(child, fields.get(name)) : fields.get(name)];
    }),
  );
}
