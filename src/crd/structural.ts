import { z } from 'zod';
import { KEY, KEYED_LISTS } from '../job/merge.ts';
import type { Structural } from './openapi.ts';
import { EXCLUSIVE, leftOut, rulesAt, textRule } from './rules.ts';

/**
 * Derives what the API server checks from the definition of a job (job/spec.ts): a structural schema in the words of
 * OpenAPI v3. It differs from the definition where Kubernetes wants it so:
 *
 * - No `default`: a default written into the object would look like something its author said, and no layer below the
 *   job could decide it any more.
 * - No `additionalProperties: false`: unknown fields are pruned, and refused by kubectl's strict validation.
 * - No `anyOf`: fields that exclude each other are optional siblings, and a CEL rule says "exactly one".
 * - It is never stricter than the definition, with one exception: a fraction must be text (`"0.5"`), since Kubernetes
 *   knows whole numbers or text only. See job/object-spec.ts.
 */

/** Carries the definition's own words for a wrong text through zod's conversion. */
const EXPECTED = 'x-bulkhead-expected';

const bounds = {
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  maxLength: z.number().optional(),
  pattern: z.string().optional(),
};
/** What zod may say of one value. Anything else is a keyword that nobody has thought about yet: generating fails. */
const nodeSchema = z.strictObject({
  ...bounds,
  description: z.string({ error: 'every field needs a description' }),
  type: z.enum(['object', 'array', 'string', 'integer', 'boolean']).optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  required: z.array(z.string()).optional(),
  additionalProperties: z.literal(false).optional(),
  items: z.unknown().optional(),
  enum: z.array(z.string()).optional(),
  minItems: z.number().optional(),
  maxItems: z.number().optional(),
  'x-kubernetes-int-or-string': z.literal(true).optional(),
  anyOf: z.array(z.looseObject(bounds)).optional(),
  [EXPECTED]: z.string().optional(),
});
type Node = z.infer<typeof nodeSchema>;

/** The definition's message for a text that does not look as it should; of a union, for all of it. */
function expectedOf({ _zod: { def } }: z.core.$ZodType): string | undefined {
  const checks = def.checks?.map((check) => check._zod.def) ?? [];
  const own = def.type === 'union' ? def.error : checks.find(({ check }) => check === 'string_format')?.error;
  const message = own?.({ code: 'custom', input: undefined, path: [] } as never);
  return typeof message === 'string' ? message : message?.message;
}

const place = (at: string, field: string): string => (at === '' ? field : `${at}.${field}`);

/**
 * The pattern as Go's regexp (RE2) knows it. Texts hold no NUL, which a pattern that goes to the end of the text says by
 * itself.
 */
function patternOf({ type, pattern, enum: words }: Node): string | undefined {
  if (pattern?.endsWith('$')) return pattern.replaceAll('\\/', '/');
  if (type !== 'string' || words !== undefined) return undefined;
  return `${(pattern ?? '^').replaceAll('\\/', '/')}[^\\x00]*$`;
}

/** Whole numbers or text: the bounds of both stand side by side, since each concerns one kind of value only. */
function mergedBounds({ anyOf = [], ...node }: Node): Node {
  const branches = anyOf.map((branch) => z.object(bounds).parse(branch));
  return Object.assign({}, ...branches, node);
}

function listOf(node: Node, at: string): Structural {
  return {
    items: structural(node.items, `${at}[]`),
    ...(KEYED_LISTS.has(at)
      ? { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [KEY] }
      : { 'x-kubernetes-list-type': 'atomic' }),
  };
}

function mapOf(node: Node, at: string): Structural {
  const fields = Object.entries(node.properties ?? {});
  // Which of them must be there is said by a rule, with a message that names all of them.
  const required = (node.required ?? []).filter((field) => !EXCLUSIVE.get(at)?.includes(field));
  return {
    properties: Object.fromEntries(fields.map(([field, child]) => [field, structural(child, place(at, field))])),
    ...(required.length > 0 && { required }),
  };
}

/** One value and all below it. */
function structural(input: unknown, at: string): Structural {
  const parsed = nodeSchema.safeParse(input);
  if (!parsed.success) throw new TypeError(`${place('spec', at)}: ${z.prettifyError(parsed.error)}`);
  const node = mergedBounds(parsed.data);
  const { description, type, additionalProperties, items, properties, required, [EXPECTED]: expected, ...rest } = node;
  const pattern = patternOf(node);
  const isText = type === 'string' || node['x-kubernetes-int-or-string'] === true;
  const rules = [
    ...(isText && pattern !== undefined && expected !== undefined
      ? [textRule(pattern, expected, type === 'string')]
      : []),
    ...rulesAt(at),
  ];
  return {
    description: [description, leftOut(at)].join(' ').trim(),
    ...(type && { type }),
    ...rest,
    ...(pattern !== undefined && { pattern }),
    ...(type === 'array' && listOf(node, at)),
    ...(type === 'object' && mapOf(node, at)),
    ...(rules.length > 0 && { 'x-kubernetes-validations': rules }),
  } as Structural;
}

/**
 * The structural schema of a value of the definition.
 * @param at its path from `spec`: empty for the spec itself
 * @throws TypeError when the definition says something that has no structural form yet, or leaves out a description
 */
export function structuralOf(definition: z.ZodType, at: string): Structural {
  const { $schema: _, ...schema } = z.toJSONSchema(definition, {
    target: 'openapi-3.0',
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => {
      const expected = expectedOf(zodSchema);
      if (expected !== undefined) jsonSchema[EXPECTED] = expected;
    },
  });
  return structural(schema, at);
}
