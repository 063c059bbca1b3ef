import { z } from 'zod';
import { parseDocuments } from '../../src/job/document.ts';

/** What a tenant may try, and the schema must refuse: hosts, other identities, other namespaces, Bulkhead's own marks. */

type Json = string | number | boolean | null | readonly Json[] | { readonly [field: string]: Json };
type JsonMap = { readonly [field: string]: Json };

export interface Attempt {
  readonly what: string;
  /** A whole file, YAML or JSON. */
  readonly text: string;
  /** What the refusal must speak of; another mistake in the file would hide that the attempt itself is taken. */
  readonly about: RegExp;
}

const IMAGE = 'registry.example/app:1';
const METADATA: JsonMap = { name: 'clicks', namespace: 'ads' };

const file = (spec: JsonMap, metadata: JsonMap = METADATA, more: JsonMap = {}): string =>
  JSON.stringify({ apiVersion: 'bulkhead.dev/v1alpha1', kind: 'StreamJob', metadata, spec, ...more });
const inSpec = (extra: JsonMap): string => file({ container: { image: IMAGE }, ...extra });
const inContainer = (extra: JsonMap): string => file({ container: { image: IMAGE, ...extra } });
const inMetadata = (extra: JsonMap): string => file({ container: { image: IMAGE } }, { ...METADATA, ...extra });
const unknown = (field: string): RegExp => new RegExp(`${field.replaceAll('.', '\\.')}.*unknown`, 's');

const field = (name: string, value: Json): Attempt => ({
  what: `spec.${name}`,
  text: inSpec({ [name]: value }),
  about: unknown(`spec.${name}`),
});
const containerField = (name: string, value: Json): Attempt => ({
  what: `spec.container.${name}`,
  text: inContainer({ [name]: value }),
  about: unknown(`spec.container.${name}`),
});
const metadataField = (name: string, value: Json): Attempt => ({
  what: `metadata.${name}`,
  text: inMetadata({ [name]: value }),
  about: unknown(`metadata.${name}`),
});

const FIELDS: readonly Attempt[] = [
  field('hostNetwork', true),
  field('hostPID', true),
  field('hostIPC', true),
  field('hostUsers', true),
  field('volumes', [{ name: 'host', hostPath: { path: '/' } }]),
  field('serviceAccountName', 'bulkhead-operator'),
  field('automountServiceAccountToken', true),
  field('nodeName', 'control-plane'),
  field('nodeSelector', { 'kubernetes.io/hostname': 'a' }),
  field('affinity', {}),
  field('tolerations', [{ operator: 'Exists' }]),
  field('priorityClassName', 'system-cluster-critical'),
  field('runtimeClassName', 'unconfined'),
  field('schedulerName', 'mine'),
  field('imagePullSecrets', [{ name: 'x' }]),
  field('initContainers', [{ name: 'a', image: IMAGE }]),
  field('namespace', 'kube-system'),
  field('labels', { 'bulkhead.dev/store': 'x' }),
  field('template', { spec: { hostNetwork: true } }),
  containerField('securityContext', { privileged: true }),
  containerField('privileged', true),
  containerField('capabilities', { add: ['SYS_ADMIN'] }),
  containerField('volumeMounts', [{ name: 'host', mountPath: '/' }]),
  containerField('envFrom', [{ secretRef: { name: 'bulkhead-database' } }]),
  containerField('lifecycle', { preStop: { exec: { command: ['id'] } } }),
  containerField('runAsGroup', 0),
  containerField('terminationMessagePath', '/etc/passwd'),
  metadataField('labels', { 'bulkhead.dev/store': 'x' }),
  metadataField('labels', { 'pod-security.kubernetes.io/enforce': 'privileged' }),
  metadataField('annotations', { 'bulkhead.dev/epoch': '0:1/1/99' }),
  metadataField('ownerReferences', [{ kind: 'Namespace', name: 'x', uid: 'x', apiVersion: 'v1' }]),
  metadataField('finalizers', ['x/y']),
  {
    what: 'a field beside spec',
    text: file({ container: { image: IMAGE } }, METADATA, { status: {} }),
    about: unknown('status'),
  },
];

const refusedText = (what: string, value: string, about: RegExp): Attempt => ({
  what,
  text: inContainer({ env: [{ name: 'A', value }] }),
  about,
});

/** Values that must not come through, whatever is expected in their place. */
const VALUES: readonly Attempt[] = [
  { what: 'root as the user', text: inContainer({ runAsUser: 0 }), about: /root \(0\) is not allowed/ },
  {
    what: 'a user beyond 32 bits, which is root again',
    text: inContainer({ runAsUser: 4_294_967_296 }),
    about: /runAsUser/,
  },
  refusedText('NUL in a value', 'a\0b', /NUL/),
  refusedText('half a surrogate pair in a value', 'a\ud800', /half a character/),
  { what: 'NUL in an argument', text: inContainer({ args: ['a\0b'] }), about: /NUL/ },
  { what: 'NUL in a probe', text: inContainer({ probes: { liveness: { exec: { command: ['a\0'] } } } }), about: /NUL/ },
  { what: 'a newline in an image', text: inContainer({ image: 'a\nb' }), about: /image/ },
  { what: 'a blank in an image', text: inContainer({ image: 'a --privileged' }), about: /image/ },
  { what: '= in a variable’s name', text: inContainer({ env: [{ name: 'A=B', value: '' }] }), about: /env/ },
  { what: 'a newline in a variable’s name', text: inContainer({ env: [{ name: 'A\nB', value: '' }] }), about: /env/ },
  {
    what: 'a Secret of another namespace',
    text: inContainer({ env: [{ name: 'A', secretKeyRef: { name: 'kube-system/x', key: 'k' } }] }),
    about: /secretKeyRef/,
  },
  {
    what: 'a Secret that is named by a path',
    text: inContainer({ env: [{ name: 'A', secretKeyRef: { name: '../x', key: 'k' } }] }),
    about: /secretKeyRef/,
  },
  {
    what: 'a key that is a path',
    text: inContainer({ env: [{ name: 'A', secretKeyRef: { name: 'x', key: '../k' } }] }),
    about: /secretKeyRef/,
  },
  {
    what: 'a job of another tenant',
    text: inSpec({ network: { egress: [{ job: 'other/clicks' }] } }),
    about: /egress/,
  },
  { what: 'loopback', text: inSpec({ network: { egress: [{ cidr: '127.0.0.0/8' }] } }), about: /beyond the node/ },
  {
    what: 'a node’s credentials',
    text: inSpec({ network: { egress: [{ cidr: '169.254.169.254/32' }] } }),
    about: /beyond the node/,
  },
  { what: 'a tier that is not there', text: inSpec({ isolation: { tier: 'host' } }), about: /tier/ },
  { what: 'a tenant that is a path', text: inMetadata({ namespace: '../kube-system' }), about: /namespace/ },
  { what: 'a tenant with a newline', text: inMetadata({ namespace: 'ads\n' }), about: /namespace/ },
  { what: 'a name that is a path', text: inMetadata({ name: '../x' }), about: /name/ },
  { what: 'a name of 64 characters', text: inMetadata({ name: 'a'.repeat(64) }), about: /name/ },
  {
    what: '__proto__ as a field',
    text: `{"apiVersion": "bulkhead.dev/v1alpha1", "kind": "StreamJob", "metadata": ${JSON.stringify(METADATA)}, "spec": {"container": {"image": "a"}, "__proto__": {"hostNetwork": true}}}`,
    about: /__proto__/,
  },
];

interface Walked {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Walked>>;
  readonly items?: Walked;
  readonly anyOf?: readonly Walked[];
  readonly additionalProperties?: unknown;
}

/** Maps of a definition, at any depth, that take fields which it does not name. @returns their paths */
export const openMaps = (schema: z.ZodType, at: string): string[] =>
  openWithin(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Walked, at);

function openWithin(schema: Walked, at: string): string[] {
  const here = schema.type === 'object' && schema.additionalProperties !== false ? [at] : [];
  const inside = Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => openWithin(inner, `${at}.${name}`));
  const choices = (schema.anyOf ?? []).flatMap((choice) => openWithin(choice, at));
  return [...here, ...inside, ...choices, ...(schema.items ? openWithin(schema.items, `${at}[]`) : [])];
}

export const ATTEMPTS: readonly Attempt[] = [...FIELDS, ...VALUES];

/** Why an attempt was not refused as it has to be; null when it was. */
export function notRefused({ what, text, about }: Attempt): string | null {
  const { jobs, problems } = parseDocuments(text, 'hostile');
  const said = problems.map(({ path, message }) => `${path}: ${message}`).join('; ');
  if (jobs.length > 0) return `${what} is taken`;
  return about.test(said) ? null : `${what} is refused for something else: ${said}`;
}
