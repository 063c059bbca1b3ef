import { readTarget } from '../../src/cluster/target.ts';
import { Transport } from '../../src/cluster/transport.ts';
import type { LocalCluster } from '../cluster/types.ts';

/** What an administrator adds to kubectl to change a cell by hand, past the fence. */
export const BREAK_GLASS_FLAGS = [
  '--as=break-glass',
  '--as-group=bulkhead:break-glass',
  '--as-group=system:masters',
] as const;

const IMPERSONATION = {
  'impersonate-user': 'break-glass',
  'impersonate-group': ['bulkhead:break-glass', 'system:masters'],
};

/** Calls to the API server as somebody who may change cells by hand: for drift tests. */
export async function breakGlass(cluster: Pick<LocalCluster, 'kubeconfigPath' | 'context'>): Promise<Transport> {
  const target = await readTarget({ kubeconfig: cluster.kubeconfigPath, context: cluster.context });
  return new Transport({ ...target, headers: async () => ({ ...(await target.headers()), ...IMPERSONATION }) });
}
