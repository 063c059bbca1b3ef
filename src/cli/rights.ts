import { z } from 'zod';
import { FENCE_NAME, FENCE_NAMESPACE } from '../cluster/epoch-fence-data.ts';
import type { Caller } from '../cluster/transport.ts';
import { CELL_KINDS, type CellKind } from '../plan/objects.ts';
import { CRD_NAME } from '../plan/stream-job.ts';

const REVIEWS_PATH = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
const WRITE_VERBS = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'] as const;
/** What goes with its namespace alone is never marked and deleted by itself. */
const WALL_VERBS = ['get', 'list', 'watch', 'create', 'update'] as const;
const WALLS: ReadonlySet<CellKind> = new Set(['ResourceQuota', 'LimitRange']);
const READ_VERBS = ['list', 'watch'] as const;
const FENCE_VERBS = ['get', 'patch'] as const;
/** Never `update`: StreamJobs are written by patches that say which version they mean. */
const STREAM_JOB_VERBS = ['get', 'list', 'watch', 'create', 'patch', 'delete'] as const;
const GROUP = 'bulkhead.dev';
/** The kinds of a cell that lies in its tenant's namespace, whose walls are the tenant's. */
const SHARED_KINDS: readonly CellKind[] = [
  'ServiceAccount',
  'NetworkPolicy',
  'Deployment',
  'PodDisruptionBudget',
  'Service',
];

const answerSchema = z.object({ status: z.object({ allowed: z.boolean() }) });

/** One thing that may be done. */
export interface Right {
  readonly verb: string;
  /** Empty for the core group. */
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** Left out for all namespaces. */
  readonly namespace?: string;
  /** Left out for all objects. */
  readonly name?: string;
}

const on = (verbs: readonly string[], of: Omit<Right, 'verb'>): Right[] => verbs.map((verb) => ({ verb, ...of }));

function onKind(kind: CellKind): Right[] {
  const { apiVersion, resource } = CELL_KINDS[kind];
  const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
  return on(WALLS.has(kind) ? WALL_VERBS : WRITE_VERBS, { group, resource });
}

const jobRights = (kinds: readonly CellKind[]): Right[] => [
  ...kinds.flatMap(onKind),
  ...on(READ_VERBS, { group: '', resource: 'pods' }),
  ...on(STREAM_JOB_VERBS, { group: GROUP, resource: 'streamjobs' }),
  ...on(['patch'], { group: GROUP, resource: 'streamjobs', subresource: 'status' }),
  ...on(['create'], { group: 'events.k8s.io', resource: 'events' }),
];

const FENCE_RIGHTS = on(FENCE_VERBS, {
  group: '',
  resource: 'configmaps',
  namespace: FENCE_NAMESPACE,
  name: FENCE_NAME,
});

/** What the operator does in a cluster that it may make namespaces in: no more, and nothing with Secrets. */
export const OPERATOR_RIGHTS: readonly Right[] = [
  ...jobRights(Object.keys(CELL_KINDS) as CellKind[]),
  ...on(['get'], { group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions', name: CRD_NAME }),
  ...FENCE_RIGHTS,
];

/**
 * What it does in these namespaces of tenants alone, all jobs of which have tier `shared`. It sees a namespace by its
 * name only, and tries without making anything whether the fence is kept to and authors are stamped.
 */
export function rightsWithin(namespaces: readonly string[]): Right[] {
  const within = namespaces.flatMap((namespace) => jobRights(SHARED_KINDS).map((right) => ({ ...right, namespace })));
  const seen = [...namespaces, 'kube-system'].flatMap((name) =>
    on(['get'], { group: '', resource: 'namespaces', namespace: name, name }),
  );
  const tries = [
    ...on(['create'], { group: '', resource: 'serviceaccounts', namespace: FENCE_NAMESPACE }),
    ...on(['create'], { group: GROUP, resource: 'streamjobs', namespace: FENCE_NAMESPACE }),
  ];
  return [...within, ...seen, ...tries, ...FENCE_RIGHTS];
}

async function isAllowed(transport: Caller, right: Right): Promise<boolean> {
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: right },
  };
  return answerSchema.parse(await transport.call('POST', REVIEWS_PATH, { body })).status.allowed;
}

/** Those of `rights` that the kubeconfig's user does not have. One call for an administrator. @throws ClusterError */
export async function missingRights(transport: Caller, rights = OPERATOR_RIGHTS): Promise<Right[]> {
  if (await isAllowed(transport, { verb: '*', group: '*', resource: '*' })) return [];
  const answers = await Promise.all(rights.map((right) => isAllowed(transport, right)));
  return rights.filter((_, index) => !answers[index]);
}

function resourceText({ group, resource, subresource, namespace, name }: Right): string {
  const kind = group === '' ? resource : `${resource}.${group}`;
  const object = [namespace, name].filter((part) => part !== undefined).join('/');
  return `${kind}${subresource ? `/${subresource}` : ''}${name ? ` ${object}` : namespace ? ` in ${namespace}` : ''}`;
}

/** `create/delete deployments.apps, services; list pods`: resources with the same verbs are named together. */
export function rightsText(rights: readonly Right[]): string {
  const verbsOf = new Map<string, string[]>();
  for (const right of rights) {
    const name = resourceText(right);
    verbsOf.set(name, [...(verbsOf.get(name) ?? []), right.verb]);
  }
  const namesOf = new Map<string, string[]>();
  for (const [name, verbs] of verbsOf) {
    const text = verbs.join('/');
    namesOf.set(text, [...(namesOf.get(text) ?? []), name]);
  }
  return [...namesOf].map(([verbs, names]) => `${verbs} ${names.join(', ')}`).join('; ');
}
