import { z } from 'zod';
import { STREAM_JOB_DEFINITION } from './definition.ts';

/**
 * Tells what a live CustomResourceDefinition lacks of ours: one that is older than the operator. Fields that it does not
 * know would be pruned from what Bulkhead writes, without a word.
 */

interface Node {
  readonly properties?: Readonly<Record<string, Node>> | undefined;
  readonly items?: Node | undefined;
  readonly enum?: readonly unknown[] | undefined;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean | undefined;
}

const nodeSchema: z.ZodType<Node> = z.lazy(() =>
  z.looseObject({
    properties: z.record(z.string(), nodeSchema).optional(),
    items: nodeSchema.optional(),
    enum: z.array(z.unknown()).optional(),
    'x-kubernetes-preserve-unknown-fields': z.boolean().optional(),
  }),
);

const definitionSchema = z.looseObject({
  spec: z.looseObject({
    versions: z.array(
      z.looseObject({
        name: z.string(),
        served: z.boolean(),
        subresources: z.record(z.string(), z.unknown()).optional(),
        schema: z.looseObject({ openAPIV3Schema: nodeSchema.optional() }).optional(),
      }),
    ),
  }),
});
type Definition = z.infer<typeof definitionSchema>;

/** Paths of all properties below a node, parents first: `spec.container.env[].name`. */
function propertyPaths(node: Node, at = ''): string[] {
  const own = Object.entries(node.properties ?? {}).flatMap(([field, child]) => {
    const path = at === '' ? field : `${at}.${field}`;
    return [path, ...propertyPaths(child, path)];
  });
  return node.items ? [...own, ...propertyPaths(node.items, `${at}[]`)] : own;
}

/** The outermost fields, and words of enums, that `ours` has and `live` has not. */
function lacking(live: Node, ours: Node, at = ''): string[] {
  if (live['x-kubernetes-preserve-unknown-fields'] === true) return [];
  const words = live.enum === undefined ? [] : (ours.enum ?? []).filter((word) => !live.enum?.includes(word));
  const fields = Object.entries(ours.properties ?? {}).flatMap(([field, child]) => {
    const path = at === '' ? field : `${at}.${field}`;
    const other = live.properties?.[field];
    return other === undefined ? [path] : lacking(other, child, path);
  });
  const items = ours.items ? lacking(live.items ?? {}, ours.items, `${at}[]`) : [];
  return [...words.map((word) => `${at}: ${word}`), ...fields, ...items];
}

const versionOf = ({ spec }: Definition, name: string | undefined) => spec.versions.find((v) => v.name === name);

const OURS = definitionSchema.parse(STREAM_JOB_DEFINITION);
const [OUR_VERSION] = OURS.spec.versions;

/** Every property path of our schema, parents first: what a definition must have for this operator. */
export const requiredPaths = (): string[] => propertyPaths(OUR_VERSION?.schema?.openAPIV3Schema ?? {});

/**
 * What a live definition lacks of ours, for people and in a stable order: `version v1alpha1`, `subresource status`, a
 * field (`spec.isolation`, not also what is below it), or a word of one (`spec.isolation.tier: shared`). Empty when it has
 * all; what it has beyond ours is of no concern.
 * @param live the CustomResourceDefinition as the API server gives it
 * @throws ZodError when it is none
 */
export function missingFields(live: unknown, ours: unknown = STREAM_JOB_DEFINITION): string[] {
  const wanted = ours === STREAM_JOB_DEFINITION ? OURS : definitionSchema.parse(ours);
  const actual = definitionSchema.parse(live);
  return wanted.spec.versions.flatMap((version) => {
    const found = versionOf(actual, version.name);
    if (!found?.served) return [`version ${version.name}`];
    const subresources = Object.keys(version.subresources ?? {}).filter((name) => !found.subresources?.[name]);
    return [
      ...subresources.map((name) => `subresource ${name}`),
      ...lacking(found.schema?.openAPIV3Schema ?? {}, version.schema?.openAPIV3Schema ?? {}),
    ];
  });
}
