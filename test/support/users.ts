import { readTarget } from '../../src/cluster/target.ts';
import { Transport } from '../../src/cluster/transport.ts';
import type { LocalCluster } from '../cluster/types.ts';

/** Headers are bytes: a name in other letters goes as its UTF-8, as kubectl sends it. */
const asBytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

/** Calls to the API server in the name of somebody, whose rights they have: the administrator impersonates. */
export async function asUser(
  cluster: Pick<LocalCluster, 'kubeconfigPath' | 'context'>,
  name: string,
  group?: string,
): Promise<Transport> {
  const target = await readTarget({ kubeconfig: cluster.kubeconfigPath, context: cluster.context });
  const impersonation = { 'impersonate-user': asBytes(name), ...(group && { 'impersonate-group': asBytes(group) }) };
  return new Transport({ ...target, headers: async () => ({ ...(await target.headers()), ...impersonation }) });
}

/** The operator as its service account, with the rights of manifests/base once they are applied. */
export const OPERATOR_USER = 'system:serviceaccount:bulkhead-system:bulkhead-operator';
