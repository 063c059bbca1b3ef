import { z } from 'zod';
import { FENCE_NAME, FENCE_NAMESPACE } from '../cluster/epoch-fence-data.ts';
import type { Transport } from '../cluster/transport.ts';
import { CELL_KINDS } from '../plan/objects.ts';

const REVIEWS_PATH = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
const WRITE_VERBS = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'] as const;
const READ_VERBS = ['list', 'watch'] as const;
const FENCE_VERBS = ['get', 'patch'] as const;

const answerSchema = z.object({ status: z.object({ allowed: z.boolean() }) });

/** One thing that may be done. */
export interface Right {
  readonly verb: string;
  /** Empty for the core group. */
  readonly group: string;
  readonly resource: string;
  /** Left out for all namespaces. */
  readonly namespace?: string;
  /** Left out for all objects. */
  readonly name?: string;
}

/** What the operator does: no more, and nothing with Secrets. */
export const OPERATOR_RIGHTS: readonly Right[] = [
  ...Object.values(CELL_KINDS).flatMap(({ apiVersion, resource }) => {
    const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
    return WRITE_VERBS.map((verb) => ({ verb, group, resource }));
  }),
  ...READ_VERBS.map((verb) => ({ verb, group: '', resource: 'pods' })),
  ...FENCE_VERBS.map((verb) => ({
    verb,
    group: '',
    resource: 'configmaps',
    namespace: FENCE_NAMESPACE,
    name: FENCE_NAME,
  })),
];

async function isAllowed(transport: Transport, right: Right): Promise<boolean> {
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: right },
  };
  return answerSchema.parse(await transport.call('POST', REVIEWS_PATH, { body })).status.allowed;
}

/** Those of `rights` that the kubeconfig's user does not have. One call for an administrator. @throws ClusterError */
export async function missingRights(transport: Transport, rights = OPERATOR_RIGHTS): Promise<Right[]> {
  if (await isAllowed(transport, { verb: '*', group: '*', resource: '*' })) return [];
  const answers = await Promise.all(rights.map((right) => isAllowed(transport, right)));
  return rights.filter((_, index) => !answers[index]);
}

/** `create/delete deployments.apps, services; list pods`: resources with the same verbs are named together. */
export function rightsText(rights: readonly Right[]): string {
  const verbsOf = new Map<string, string[]>();
  for (const { verb, group, resource, namespace, name: object } of rights) {
    const kind = group === '' ? resource : `${resource}.${group}`;
    const name = namespace && object ? `${kind} ${namespace}/${object}` : kind;
    verbsOf.set(name, [...(verbsOf.get(name) ?? []), verb]);
  }
  const namesOf = new Map<string, string[]>();
  for (const [name, verbs] of verbsOf) {
    const text = verbs.join('/');
    namesOf.set(text, [...(namesOf.get(text) ?? []), name]);
  }
  return [...namesOf].map(([verbs, names]) => `${verbs} ${names.join(', ')}`).join('; ');
}
