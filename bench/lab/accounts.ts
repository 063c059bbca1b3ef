import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CoreV1Api,
  KubeConfig,
  type KubernetesObject,
  KubernetesObjectApi,
  PatchStrategy,
} from '@kubernetes/client-node';
import { parseAllDocuments, stringify } from 'yaml';
import { crdPath } from '../../src/cluster/paths.ts';
import { APPLY_PATCH } from '../../src/cluster/transport.ts';
import { STREAM_JOB_DEFINITION } from '../../src/crd/definition.ts';
import type { ControlPlaneCluster } from '../../test/cluster/index.ts';
import { breakGlass } from '../../test/support/break-glass.ts';

/** Whoever is measured or measures is a ServiceAccount, with rights of its own and under the operator's policies. */

/**
 * `replay` acts as the operator's own account, so that what it sends meets the very same rules. The yardsticks that are
 * operators have an account of their own: they need a kind of their own besides.
 */
export const CONTESTANTS = ['bulkhead', 'replay', 'controller-runtime', 'kopf', 'watcher'] as const;
export type Contestant = (typeof CONTESTANTS)[number];

const NAMESPACE = 'bulkhead-system';
const OPERATOR = 'bulkhead-operator';
const ACCOUNTS: Readonly<Record<Contestant, string>> = {
  bulkhead: OPERATOR,
  replay: OPERATOR,
  'controller-runtime': 'bench-controller-runtime',
  kopf: 'bench-kopf',
  watcher: 'bench-watcher',
};
/** The API group of the kind that the yardsticks' operators act on. */
export const YARDSTICK_GROUP = 'yardstick.dev';

const MANIFESTS = join(import.meta.dirname, '../../manifests');
const FIELD_MANAGER = 'kubectl';
const TOKEN_SECONDS = 24 * 3_600;

/** How the API server's audit log names a contestant. */
export const userOf = (contestant: Contestant): string => `system:serviceaccount:${NAMESPACE}:${ACCOUNTS[contestant]}`;

type Manifest = KubernetesObject & { readonly metadata: { readonly name: string; readonly namespace?: string } };
interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

const documentsOf = (text: string): Manifest[] => parseAllDocuments(text).map((one) => one.toJS() as Manifest);
const manifests = async (file: string): Promise<string> => readFile(join(MANIFESTS, file), 'utf8');

const account = (name: string): Manifest => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { name, namespace: NAMESPACE },
});

const granted = (name: string, rules: readonly Rule[]): Manifest[] => [
  account(name),
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name }, rules } as Manifest,
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace: NAMESPACE }],
  } as Manifest,
];

const everything = (group: string): Rule => ({ apiGroups: [group], resources: ['*'], verbs: ['*'] });

/** What the operator may do, a kind of their own, and what they report and elect a leader by. */
const yardstickRules = (operatorRules: readonly Rule[]): Rule[] => [
  ...operatorRules,
  everything(YARDSTICK_GROUP),
  { apiGroups: [''], resources: ['configmaps'], resourceNames: ['bulkhead-fence'], verbs: ['get', 'patch'] },
  { apiGroups: ['', 'events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
  { apiGroups: ['apiextensions.k8s.io'], resources: ['customresourcedefinitions'], verbs: ['get', 'list', 'watch'] },
];

/** The operator's own policy once more, for the yardsticks' accounts: what it costs to be looked at, it costs them too. */
async function policyForYardsticks(): Promise<Manifest[]> {
  const users = [userOf('controller-runtime'), userOf('kopf')].map((name) => `'${name}'`).join(', ');
  const text = (await manifests('admission/operator-policy.yaml'))
    .replaceAll(/(name|policyName): bulkhead-operator\b/g, '$1: bench-operator')
    .replace(`request.userInfo.username == '${userOf('bulkhead')}'`, `request.userInfo.username in [${users}]`)
    .replace(
      'variables.isFence || variables.isProbe',
      `variables.isFence || variables.isProbe || request.resource.group == '${YARDSTICK_GROUP}' || request.resource.resource == 'events'`,
    );
  if (!text.includes(users) || !text.includes(YARDSTICK_GROUP)) {
    throw new Error('manifests/admission/operator-policy.yaml is not as bench/lab/accounts.ts expects it');
  }
  return documentsOf(text);
}

/** Applies manifests as the cluster's administrator, one after the other. */
export async function applyManifests(
  cluster: ControlPlaneCluster,
  objects: readonly KubernetesObject[],
): Promise<void> {
  const api = KubernetesObjectApi.makeApiClient(administrator(cluster));
  for (const object of objects) {
    await api.patch(object, undefined, undefined, FIELD_MANAGER, true, PatchStrategy.ServerSideApply);
  }
}

/** The cluster's administrator. */
export function administrator(cluster: ControlPlaneCluster): KubeConfig {
  const kubeconfig = new KubeConfig();
  kubeconfig.loadFromFile(cluster.kubeconfigPath);
  return kubeconfig;
}

/** Makes the accounts, their rights and their policy. */
export async function installAccounts(cluster: ControlPlaneCluster): Promise<void> {
  const rbac = documentsOf(await manifests('base/rbac.yaml'));
  const role = rbac.find(({ kind }) => kind === 'ClusterRole') as (Manifest & { rules: Rule[] }) | undefined;
  if (!role) throw new Error('manifests/base/rbac.yaml has no ClusterRole');
  await applyManifests(cluster, [
    account(OPERATOR),
    ...rbac,
    ...granted(ACCOUNTS['controller-runtime'], yardstickRules(role.rules)),
    ...granted(ACCOUNTS.kopf, yardstickRules(role.rules)),
    ...granted(ACCOUNTS.watcher, [{ apiGroups: ['*'], resources: ['*'], verbs: ['get', 'list', 'watch'] }]),
    ...(await policyForYardsticks()),
  ]);
}

/** Makes the kind StreamJob. Past the client library's types, which lose `x-kubernetes-int-or-string`. */
export async function installStreamJobs(cluster: ControlPlaneCluster): Promise<void> {
  const api = await breakGlass(cluster);
  const query = { fieldManager: FIELD_MANAGER, force: 'true' };
  try {
    const path = crdPath(STREAM_JOB_DEFINITION.metadata.name);
    await api.call('PATCH', path, { body: STREAM_JOB_DEFINITION, query, contentType: APPLY_PATCH });
  } finally {
    await api.close();
  }
}

/** Writes a kubeconfig with a token of the contestant's account, under the cluster's own context name. @returns its path */
export async function writeKubeconfig(cluster: ControlPlaneCluster, contestant: Contestant): Promise<string> {
  const admin = administrator(cluster);
  const server = admin.getCurrentCluster();
  if (!server?.caData) throw new Error(`${cluster.kubeconfigPath} names no server`);
  const { status } = await admin.makeApiClient(CoreV1Api).createNamespacedServiceAccountToken({
    name: ACCOUNTS[contestant],
    namespace: NAMESPACE,
    body: { spec: { audiences: [], expirationSeconds: TOKEN_SECONDS } },
  });
  if (!status) throw new Error(`no token for ${ACCOUNTS[contestant]}`);
  const name = cluster.context;
  const path = join(cluster.dir, `${contestant}.kubeconfig`);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server: server.server, 'certificate-authority-data': server.caData } }],
    contexts: [{ name, context: { cluster: name, user: contestant } }],
    users: [{ name: contestant, user: { token: status.token } }],
  };
  await writeFile(path, stringify(config), { mode: 0o600 });
  return path;
}
