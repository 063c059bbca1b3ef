import { type Epoch, epochMark } from '../job/epoch.ts';
import type { ClusterId, ReplicaId, Shard, StoreId } from '../job/ids.ts';

/** What the rest of Bulkhead asks of the store about who acts for which jobs. */

/** Proof of ownership that every write for a job carries; the store refuses an outdated one in the same statement. */
export interface Fence {
  readonly replica: ReplicaId;
  readonly shard: Shard;
  readonly epoch: Epoch;
}

/** How a cell's object says under which fence it was written, and how the cluster's fence names it. */
export const fenceMark = ({ shard, epoch }: Fence): string => epochMark(shard, epoch);

/** How a StreamJob says it: the tenant's namespace is shared, so it names the store too. */
export const writtenBy = (storeId: StoreId, fence: Fence): string => `${storeId} ${fenceMark(fence)}`;

/** What a replica learns from a heartbeat. */
export interface Standing {
  /** The shards that are this replica's, each with its epoch. */
  readonly fences: readonly Fence[];
  /** How many shards too many it has for an even division: to be given back in good order. */
  readonly surplus: number;
  /** Replicas that are alive, this one included. */
  readonly replicas: number;
}

/** A process that acts for the store, and where it stands. */
export interface ReplicaInfo {
  readonly id: ReplicaId;
  /** For people: host and process. */
  readonly name: string;
  readonly shards: readonly Shard[];
  /** The cluster it is connected to; null while it is not. */
  readonly clusterId: ClusterId | null;
  readonly startedAt: Date;
  readonly alive: boolean;
}

/** Leases by the database's clock: one for each replica, under which it holds its shards. */
export interface ShardLeases {
  /**
   * Renews the replica's lease (the first time, makes it) and claims free shards up to an even share.
   * @param self.clusterId where it is connected to, for others to see
   */
  heartbeat(
    self: { readonly id: ReplicaId; readonly name: string; readonly clusterId: ClusterId | null },
    ttlMs: number,
  ): Promise<Standing>;
  /** Gives shards back, so that another can claim them at once. */
  yieldShards(replica: ReplicaId, shards: readonly Shard[]): Promise<void>;
  /** Gives everything back and ends the lease. */
  leave(replica: ReplicaId): Promise<void>;
  /** Every replica that is alive or still holds shards, by name. */
  replicas(): Promise<ReplicaInfo[]>;
  /** Which of these fences still hold in the store. @throws StoreError */
  holding(fences: readonly Fence[]): Promise<Fence[]>;
}

/** A person's word that this store may go on from where a cluster's fence stands, though it is behind it. */
export interface FenceConfirmation {
  /** The epochs that the fence names, by shard. */
  readonly fences: ReadonlyMap<Shard, Epoch>;
}
