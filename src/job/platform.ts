import { z } from 'zod';
import { checkDocument } from './check.ts';
import { PLATFORM_KIND } from './kinds.ts';
import { type DocumentReader, parseFile } from './parse-file.ts';
import type { SpecPatch } from './patch.ts';
import { specPatchSchema } from './patch-schema.ts';
import { formatPosition, type Position, type Problem } from './problem.ts';
import { inSchemaOrder } from './schema-fields.ts';
import { API_VERSION, jobSpecSchema, streamJobSchema } from './spec.ts';
import { yamlText } from './yaml-write.ts';

/** The signs of an image's name, its tag and its digest; a prefix can end anywhere in it. */
const IMAGE_PREFIX = /^[a-z0-9][\w./:@-]{0,511}$/;
const IMAGES = 'expected the beginning of image names, such as registry.example/team/';

/** What no layer may exceed; a field that is left out limits nothing. */
export interface PlatformLimits {
  readonly workers?:
    | {
        readonly replicas?: number | undefined;
        /** Of one worker: the most that its own limits may be. */
        readonly resources?: { readonly cpu?: string | undefined; readonly memory?: string | undefined } | undefined;
      }
    | undefined;
  /** Beginnings of image names, one of which a job's image must have: `registry.example/team/`. */
  readonly images?: readonly string[] | undefined;
}

/** What the platform says: below all layers of a job, and above them. */
export interface PlatformContent {
  readonly defaults: SpecPatch;
  readonly limits: PlatformLimits;
}

/** What a document says of one scope, and the place of it. */
export interface ParsedPlatform {
  /** A tenant; null for all of them. */
  readonly tenant: string | null;
  readonly content: PlatformContent;
  readonly position: Position;
}

export interface ParsedPlatformFile {
  readonly platforms: readonly ParsedPlatform[];
  readonly problems: readonly Problem[];
}

const written = jobSpecSchema.shape;
const workers = written.workers.unwrap().shape;
const quantity = workers.resources.unwrap().shape.limits.unwrap().shape;
/** A limit is kept as text, also where a number was written. */
const most = (field: z.ZodType<string | number | undefined>) =>
  field.transform((value) => (value === undefined ? undefined : String(value)));

const limitsSchema = z.strictObject({
  workers: z
    .strictObject({
      replicas: workers.replicas,
      resources: z
        .strictObject({ cpu: most(quantity.cpu).optional(), memory: most(quantity.memory).optional() })
        .optional(),
    })
    .optional(),
  images: z
    .array(z.string({ error: IMAGES }).regex(IMAGE_PREFIX, IMAGES))
    .min(1, 'expected at least one; leave the field out to allow every image')
    .max(64)
    .optional(),
});

/** What the platform says, as it is stored: both parts are there. */
export const platformContentSchema = z.strictObject({ defaults: specPatchSchema, limits: limitsSchema });

const platformSchema = z.strictObject({
  apiVersion: streamJobSchema.shape.apiVersion,
  kind: z.literal(PLATFORM_KIND, { error: `expected ${PLATFORM_KIND}` }),
  metadata: z
    .strictObject({ namespace: streamJobSchema.shape.metadata.shape.namespace.optional() })
    .optional()
    .describe('The tenant that this is for; all of them where none is named.'),
  spec: z.strictObject({
    defaults: specPatchSchema.optional().describe('Laid below the spec of every job.'),
    limits: limitsSchema.optional().describe('What no layer of a job may exceed.'),
  }),
});

type PlatformDocument = z.infer<typeof platformSchema>;

const READER: DocumentReader<PlatformDocument> = {
  kind: PLATFORM_KIND,
  check: (plain) => checkDocument(plain, { kind: PLATFORM_KIND, schema: platformSchema }),
  place: ['metadata', 'namespace'],
};

/**
 * Reads every `kind: Platform` document of a file, as `parseDocuments` reads jobs: never throws, and a caller that finds
 * any problem must use none of them.
 */
export function parsePlatforms(text: string, fileName: string): ParsedPlatformFile {
  const { documents, problems } = parseFile(text, fileName, READER);
  const platforms = documents.map(({ value: { metadata, spec }, position }) => ({
    tenant: metadata?.namespace ?? null,
    content: { defaults: spec.defaults ?? {}, limits: spec.limits ?? {} },
    position,
  }));
  return { platforms, problems };
}

/** Scopes that are there more than once in one invocation, over all of its files: each is named with its first place. */
export function duplicatePlatforms(platforms: readonly ParsedPlatform[]): Problem[] {
  const first = new Map<string | null, Position>();
  return platforms.flatMap(({ tenant, position }) => {
    const other = first.get(tenant);
    if (other === undefined) {
      first.set(tenant, position);
      return [];
    }
    const scope = tenant === null ? 'all tenants' : `tenant ${tenant}`;
    const message = `found a second ${PLATFORM_KIND} for ${scope}, also at ${formatPosition(other)}; expected one`;
    return [{ position, path: 'metadata.namespace', message }];
  });
}

/** What the platform says as a document that {@link parsePlatforms} reads; empty parts are left out. */
export function platformYaml(tenant: string | null, content: PlatformContent): string {
  const part = <T extends object>(value: T) => (Object.keys(value).length === 0 ? undefined : value);
  const document = {
    apiVersion: API_VERSION,
    kind: PLATFORM_KIND,
    metadata: tenant === null ? undefined : { namespace: tenant },
    spec: { defaults: part(content.defaults), limits: part(content.limits) },
  };
  return yamlText(inSchemaOrder(platformSchema, document));
}
