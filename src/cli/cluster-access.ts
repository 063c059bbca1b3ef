import type { ClusterTarget } from '../cluster/target.ts';
import { Transport } from '../cluster/transport.ts';

export { identify } from '../cluster/identity.ts';
export { readTarget } from '../cluster/target.ts';

/** Opens no connection yet. */
export const openTransport = (target: ClusterTarget): Transport => new Transport(target);
