import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { effectiveSpec } from '../../src/job/defaults.ts';
import { type JobName, jobId, revision } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import type { KubeObject } from '../../src/plan/objects.ts';
import { renderCell } from '../../src/plan/render/cell.ts';
import { STORE } from '../../test/support/goals.ts';
import { expand } from './expansion.ts';

/** A cell as it would be made of a spec, and what of its pods a tenant must never have had a say in. */

const ID = jobId('33333333-3333-4333-8333-333333333333');

const envSchema = z.strictObject({
  name: z.string(),
  value: z.string().optional(),
  valueFrom: z.strictObject({ secretKeyRef: z.strictObject({ name: z.string(), key: z.string() }) }).optional(),
});
/** The fields of a container that a tenant has a say in, and all the others by their names alone. */
const containerSchema = z.looseObject({
  command: z.array(z.string()),
  args: z.array(z.string()),
  env: z.array(envSchema),
  volumeMounts: z.unknown().optional(),
});
const templateSchema = z.strictObject({
  metadata: z.strictObject({ labels: z.record(z.string(), z.string()) }),
  spec: z.looseObject({
    automountServiceAccountToken: z.unknown().optional(),
    serviceAccountName: z.string(),
    volumes: z.array(z.looseObject({ name: z.string() })),
    containers: z.tuple([containerSchema]),
  }),
});
const deploymentSchema = z.looseObject({ spec: z.looseObject({ template: z.unknown() }) });

export interface Rendered {
  readonly objects: readonly KubeObject[];
  /** The one Deployment's, as it is sent. */
  readonly template: unknown;
}

/** @throws Error when there is not exactly one Deployment */
export function render(job: JobName, spec: JobSpec): Rendered {
  const source = { storeId: STORE, job: { ...job, id: ID }, revision: revision(1), spec: effectiveSpec(spec) };
  const objects = renderCell(source);
  const [deployment, ...others] = objects.filter(({ kind }) => kind === 'Deployment');
  if (!deployment || others.length > 0) throw new Error('expected one Deployment in a cell');
  return { objects, template: deploymentSchema.parse(deployment).spec.template };
}

/** Pod fields that reach beyond the cell. Pod Security knows the host's; these it leaves to others. */
const NEVER = [
  'nodeName',
  'nodeSelector',
  'affinity',
  'tolerations',
  'priorityClassName',
  'priority',
  'runtimeClassName',
  'hostAliases',
  'hostname',
  'subdomain',
  'imagePullSecrets',
  'initContainers',
  'ephemeralContainers',
  'dnsConfig',
  'resourceClaims',
  'shareProcessNamespace',
] as const;
const VOLUMES = [{ name: 'tmp', emptyDir: { sizeLimit: '64Mi' } }];
const MOUNTS = [{ name: 'tmp', mountPath: '/tmp' }];
const OWN_LABEL = /^(bulkhead\.dev\/(store|job-id|tenant|job)|app\.kubernetes\.io\/managed-by)$/;

/** The accounts that the cell itself brings, which can do nothing and whose token nobody mounts. */
const ownAccounts = (objects: readonly KubeObject[]): string[] =>
  objects
    .filter((object) => object.kind === 'ServiceAccount' && object.automountServiceAccountToken === false)
    .map(({ metadata }) => metadata.name);

/** What of its cell a tenant got hold of, beyond Pod Security; empty when nothing. */
export function strays({ objects, template }: Rendered, job: JobName): string[] {
  const { metadata, spec } = templateSchema.parse(template);
  const [worker] = spec.containers;
  const found: string[] = NEVER.filter((field) => spec[field] !== undefined).map((field) => `${field} is set`);
  if (spec.automountServiceAccountToken !== false) found.push('a token of the service account is mounted');
  if (!ownAccounts(objects).includes(spec.serviceAccountName)) found.push(`service account ${spec.serviceAccountName}`);
  if (!isDeepStrictEqual(spec.volumes, VOLUMES)) found.push(`volumes ${JSON.stringify(spec.volumes)}`);
  if (!isDeepStrictEqual(worker.volumeMounts, MOUNTS)) found.push(`mounts ${JSON.stringify(worker.volumeMounts)}`);
  for (const label of Object.keys(metadata.labels)) if (!OWN_LABEL.test(label)) found.push(`label ${label}`);
  const places = new Set([cellNamespace(STORE, job), job.tenant]);
  for (const object of objects) {
    const { namespace, name } = object.metadata;
    const place = namespace ?? (object.kind === 'Namespace' ? name : '');
    if (!places.has(place)) found.push(`${object.kind} ${name} lies in ${place || 'no namespace'}`);
    if (object.metadata.ownerReferences !== undefined) found.push(`${object.kind} ${name} has an owner`);
  }
  return found;
}

/** Texts that the process would get otherwise than they were written. Its variables are all set, to be met by `$(…)`. */
export function garbled(template: unknown, { container }: JobSpec): string[] {
  const [worker] = templateSchema.parse(template).spec.containers;
  const written = [...(container.command ?? []), ...(container.args ?? []), ...values(container.env ?? [])];
  const names = (container.env ?? []).map(({ name }) => name);
  const variables = new Map(['HOME', 'A', 'VAR', ...names].map((name) => [name, 'EXPANDED']));
  const read = [...worker.command, ...worker.args, ...values(worker.env)].map((text) => expand(text, variables));
  return written.flatMap((text, index) =>
    read[index] === text ? [] : [`${JSON.stringify(text)} arrives as ${JSON.stringify(read[index])}`],
  );
}

const values = (env: readonly { readonly value?: string | undefined; readonly name: string }[]): string[] =>
  env.filter((entry) => !('valueFrom' in entry) && !('secretKeyRef' in entry)).map(({ value }) => value ?? '');
