import { KubernetesFence } from '../cluster/epoch-fence.ts';
import type { ClusterTarget } from '../cluster/target.ts';
import { Transport } from '../cluster/transport.ts';

import type { Epoch } from '../job/epoch.ts';
import type { Shard, StoreId } from '../job/ids.ts';

export { identify } from '../cluster/identity.ts';
export { readTarget } from '../cluster/target.ts';

/** Opens no connection yet. */
export const openTransport = (target: ClusterTarget): Transport => new Transport(target);

/** What the fence of a cluster says of a store. @throws ClusterError */
export const readFence = (transport: Transport, storeId: StoreId): Promise<ReadonlyMap<Shard, Epoch>> =>
  new KubernetesFence(transport, storeId).read();
