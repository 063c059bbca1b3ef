import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { cached, hashOf } from '../../test/cluster/cache.ts';
import { controlPlaneUp } from '../../test/cluster/control-plane/index.ts';
import { KUBERNETES_VERSION, localkube } from '../../test/cluster/localkube.ts';
import { run, step } from '../../test/cluster/progress.ts';
import type { Manifest } from './render.ts';

/**
 * JSON schemas for kubeconform, made from what a real API server publishes about itself, so that none has to come from
 * elsewhere. Strict: a field that Kubernetes does not know is a mistake.
 */

const CLUSTER = 'security-schemas';

type Node = { readonly [key: string]: unknown };
type MutableNode = Record<string, unknown>;

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value);

const gvkSchema = z.array(z.looseObject({ group: z.string(), version: z.string(), kind: z.string() }));
const openApiSchema = z.looseObject({ definitions: z.record(z.string(), z.looseObject({})) });

const QUANTITY = 'io.k8s.apimachinery.pkg.api.resource.Quantity';
const OPEN = 'x-kubernetes-preserve-unknown-fields';

/** Names of fields are no keywords: inside `properties` every key is a field, whatever it is called. */
function strictFields(fields: Node): MutableNode {
  return Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name, strict(schema)]));
}

/** A schema that takes what the API server takes, and refuses fields that it would drop. */
export function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict);
  if (!isNode(schema)) return schema;
  if (schema.format === 'int-or-string' || schema['x-kubernetes-int-or-string'] === true) {
    return { oneOf: [{ type: 'string' }, { type: 'integer' }] };
  }
  const made: MutableNode = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties' && isNode(value)) made.properties = strictFields(value);
    else if (key !== 'default' && key !== 'description') made[key] = strict(value);
  }
  const isMap = isNode(schema.properties) && schema[OPEN] !== true;
  if (isMap && made.additionalProperties === undefined) made.additionalProperties = false;
  return made;
}

/** Names of the definitions that a schema needs, directly or through others. */
function reachable(start: string, definitions: Node): Set<string> {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visit);
    if (!isNode(value)) return;
    if (typeof value.$ref === 'string') add(value.$ref.replace('#/definitions/', ''));
    Object.values(value).forEach(visit);
  };
  const add = (name: string): void => {
    if (found.has(name)) return;
    found.add(name);
    visit(definitions[name]);
  };
  add(start);
  return found;
}

/** The file of a kind's schema, below the folder that {@link SCHEMA_PATH} means. */
const fileOf = (group: string, version: string, kind: string): string =>
  join(group === '' ? version : group, version, `${kind.toLowerCase()}.json`);

/** How kubeconform finds it again; the core group is called by its version there. */
export const SCHEMA_PATH = '{{ .Group }}/{{ .ResourceAPIVersion }}/{{ .ResourceKind }}.json';

export interface SchemaFile {
  readonly path: string;
  readonly schema: unknown;
}

/** One file for each kind of an OpenAPI v2 document, with all that it refers to in it. */
export function schemaFiles(openApi: unknown): SchemaFile[] {
  const { definitions } = openApiSchema.parse(openApi);
  const strictly: MutableNode = strictFields(definitions);
  // `cpu: 1` is as good as `cpu: "1"`.
  if (QUANTITY in strictly) strictly[QUANTITY] = { oneOf: [{ type: 'string' }, { type: 'number' }] };
  return Object.entries(definitions).flatMap(([name, definition]) => {
    const kinds = gvkSchema.safeParse(definition['x-kubernetes-group-version-kind']).data ?? [];
    const needed = Object.fromEntries([...reachable(name, strictly)].map((one) => [one, strictly[one]]));
    const schema = { $ref: `#/definitions/${name}`, definitions: needed };
    return kinds.map(({ group, version, kind }) => ({ path: fileOf(group, version, kind), schema }));
  });
}

const crdSchema = z.looseObject({
  spec: z.looseObject({
    group: z.string(),
    names: z.looseObject({ kind: z.string() }),
    versions: z.array(
      z.looseObject({ name: z.string(), schema: z.looseObject({ openAPIV3Schema: z.looseObject({}) }) }),
    ),
  }),
});

/** The schemas of the kinds that a CustomResourceDefinition brings. */
export function crdSchemaFiles(crd: Manifest): SchemaFile[] {
  const { group, names, versions } = crdSchema.parse(crd).spec;
  return versions.map(({ name, schema: { openAPIV3Schema } }) => {
    const fields: MutableNode = isNode(openAPIV3Schema.properties) ? { ...openAPIV3Schema.properties } : {};
    // A CRD may say more about names; what else is in metadata, Kubernetes knows by itself.
    fields.metadata = { type: 'object', ...(isNode(fields.metadata) && fields.metadata), [OPEN]: true };
    const whole = { apiVersion: { type: 'string' }, kind: { type: 'string' } };
    const schema = strict({ ...openAPIV3Schema, properties: { ...whole, ...fields } });
    return { path: fileOf(group, name, names.kind), schema };
  });
}

export async function writeSchemas(folder: string, files: readonly SchemaFile[]): Promise<void> {
  for (const { path, schema } of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), JSON.stringify(schema));
  }
}

async function build(folder: string): Promise<void> {
  const cluster = await controlPlaneUp({ name: CLUSTER, nodes: 0, fsync: false, fresh: true });
  try {
    const args = ['kubectl', `--kubeconfig=${cluster.kubeconfigPath}`, 'get', '--raw', '/openapi/v2'];
    await writeSchemas(folder, schemaFiles(JSON.parse(await run(await localkube(), args))));
  } finally {
    await cluster.down();
  }
}

/** The folder with the schemas of everything that the local Kubernetes knows by itself. */
export async function kubernetesSchemas(): Promise<string> {
  const hash = await hashOf(KUBERNETES_VERSION, { path: fileURLToPath(import.meta.url) });
  return await cached('security-schemas', hash, (tmpDir) =>
    step(`Asking Kubernetes ${KUBERNETES_VERSION} for its schemas`, () => build(tmpDir), { typical: '15 s' }),
  );
}
