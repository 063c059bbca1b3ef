import { readTarget } from '../../src/cluster/target.ts';
import { Transport } from '../../src/cluster/transport.ts';
import type { LocalCluster } from '../cluster/types.ts';

/**
 * What an administrator adds to kubectl to change a cell by hand, past the fence. Local clusters give the group every
 * right (test/cluster/admission.ts); elsewhere `--as-group=system:masters` besides does.
 */
export const BREAK_GLASS_FLAGS = ['--as=break-glass', '--as-group=bulkhead:break-glass'] as const;

const IMPERSONATION = { 'impersonate-user': 'break-glass', 'impersonate-group': 'bulkhead:break-glass' };

/** Calls to the API server as somebody who may change cells by hand: for drift tests. */
export async function breakGlass(cluster: Pick<LocalCluster, 'kubeconfigPath' | 'context'>): Promise<Transport> {
  const target = await readTarget({ kubeconfig: cluster.kubeconfigPath, context: cluster.context });
  return new Transport({ ...target, headers: async () => ({ ...(await target.headers()), ...IMPERSONATION }) });
}
