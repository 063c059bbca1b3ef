import { z } from 'zod';

/** Rights as single atoms: what Roles and ClusterRoles grant, and what a request needed. */

/** One verb on one resource. `*` in any place stands for all. */
export interface Right {
  readonly verb: string;
  /** Empty for the core group. */
  readonly group: string;
  /** With its subresource: `streamjobs/status`. A path, for what is no resource: `/version`. */
  readonly resource: string;
  /** `*` for all namespaces, and for what has none. */
  readonly namespace: string;
  /** `*` for any name. */
  readonly name: string;
}

export const rightText = ({ verb, group, resource, namespace, name }: Right): string =>
  `${verb} ${resource}${group === '' ? '' : `.${group}`}${name === '*' ? '' : ` ${name}`}${namespace === '*' ? '' : ` in ${namespace}`}`;

const ruleSchema = z.strictObject({
  apiGroups: z.array(z.string()).default([]),
  resources: z.array(z.string()).default([]),
  resourceNames: z.array(z.string()).default([]),
  nonResourceURLs: z.array(z.string()).default([]),
  verbs: z.array(z.string()),
});
const roleSchema = z.looseObject({
  kind: z.enum(['Role', 'ClusterRole']),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
  rules: z.array(ruleSchema).nullish(),
  aggregationRule: z.unknown().optional(),
});
const bindingSchema = z.looseObject({
  kind: z.enum(['RoleBinding', 'ClusterRoleBinding']),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
  roleRef: z.looseObject({ kind: z.string(), name: z.string() }),
  subjects: z.array(z.looseObject({ kind: z.string(), name: z.string(), namespace: z.string().optional() })).nullish(),
});

type Role = z.infer<typeof roleSchema>;
type Binding = z.infer<typeof bindingSchema>;
type Manifest = { readonly kind: string; readonly [field: string]: unknown };

/** How the API server names a service account. */
const accountName = ({ kind, name, namespace }: NonNullable<Binding['subjects']>[number]): string =>
  kind === 'ServiceAccount' ? `system:serviceaccount:${namespace ?? ''}:${name}` : name;

/** The role that a binding means: a Role of its own namespace, or a ClusterRole. */
const isMeant = (role: Role, { roleRef, metadata }: Binding): boolean =>
  role.kind === roleRef.kind &&
  role.metadata.name === roleRef.name &&
  (role.kind === 'ClusterRole' || role.metadata.namespace === metadata.namespace);

function rightsOf(role: Role, namespace: string): Right[] {
  const atom = (verb: string, group: string, resource: string, name: string): Right => ({
    verb,
    group,
    resource,
    namespace,
    name,
  });
  return (role.rules ?? []).flatMap(({ apiGroups, resources, resourceNames, nonResourceURLs, verbs }) =>
    verbs.flatMap((verb) => [
      ...nonResourceURLs.map((path) => atom(verb, '', path, '*')),
      ...apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          (resourceNames.length > 0 ? resourceNames : ['*']).map((name) => atom(verb, group, resource, name)),
        ),
      ),
    ]),
  );
}

/**
 * What a user is granted by manifests.
 * @throws Error where a binding names a role that is not among them, or one whose rules come from elsewhere: then
 * nobody can tell
 */
export function grantedTo(user: string, manifests: readonly Manifest[]): Right[] {
  const roles = manifests.filter(({ kind }) => /^(Cluster)?Role$/.test(kind)).map((object) => roleSchema.parse(object));
  const bindings = manifests
    .filter(({ kind }) => /^(Cluster)?RoleBinding$/.test(kind))
    .map((object) => bindingSchema.parse(object))
    .filter(({ subjects }) => (subjects ?? []).some((subject) => accountName(subject) === user));
  return bindings.flatMap((binding) => {
    const role = roles.find((one) => isMeant(one, binding));
    if (!role) throw new Error(`${binding.kind} ${binding.metadata.name} names a role that is not in the manifests`);
    if (role.aggregationRule) throw new Error(`${role.kind} ${role.metadata.name} is put together by the cluster`);
    return rightsOf(role, binding.kind === 'RoleBinding' ? (binding.metadata.namespace ?? '') : '*');
  });
}

const fits = (granted: string, needed: string): boolean => granted === '*' || granted === needed;

/** Whether a right that was granted is enough for one that is needed. */
export const covers = (granted: Right, needed: Right): boolean =>
  fits(granted.verb, needed.verb) &&
  fits(granted.group, needed.group) &&
  fits(granted.resource, needed.resource) &&
  fits(granted.namespace, needed.namespace) &&
  fits(granted.name, needed.name);
