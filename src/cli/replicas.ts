import { type JobId, SHARD_COUNT, shardOf } from '../job/ids.ts';
import type { ReplicaInfo } from '../ports/shards.ts';

/** Who acts for the store, in words. Pure. */

export const NO_OPERATOR =
  'none runs, so nothing is done and what was seen may be outdated; start one with: bulkhead run';

/** Whether any replica is alive: without one nothing is looked at. */
export const isServed = (replicas: readonly ReplicaInfo[]): boolean => replicas.some(({ alive }) => alive);

const shards = (count: number): string => `${count} ${count === 1 ? 'shard' : 'shards'}`;

/** All replicas on one line: `2 run: a (128 shards), b (128 shards)`. */
export function operatorLine(replicas: readonly ReplicaInfo[]): string {
  const alive = replicas.filter((replica) => replica.alive);
  if (alive.length === 0) return 'none runs';
  const names = alive.map((replica) => `${replica.name} (${shards(replica.shards.length)})`).join(', ');
  const served = alive.reduce((sum, replica) => sum + replica.shards.length, 0);
  const rest =
    served < SHARD_COUNT
      ? `; ${shards(SHARD_COUNT - served)} ${served === SHARD_COUNT - 1 ? 'waits' : 'wait'} for an owner`
      : '';
  return `${alive.length === 1 ? 'one runs' : `${alive.length} run`}: ${names}${rest}`;
}

/** Who acts for one job. */
export function ownerLine(replicas: readonly ReplicaInfo[], job: JobId): string {
  if (!isServed(replicas)) return NO_OPERATOR;
  const shard = shardOf(job);
  const owner = replicas.find((replica) => replica.shards.includes(shard));
  if (!owner) return `nobody yet: shard ${shard} waits for one of ${replicas.length} replicas to claim it`;
  return owner.alive
    ? `${owner.name} acts for it (shard ${shard})`
    : `${owner.name} owned its shard ${shard} and is gone; another replica takes it over within seconds`;
}
