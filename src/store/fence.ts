import { formatEpoch } from '../job/epoch.ts';
import type { Fence } from '../ports/shards.ts';
import { StoreError } from '../ports/store.ts';

/**
 * The proof of ownership, checked inside the statement that writes. It names the database too, so that a write meant
 * for one that was promoted or restored since is refused.
 *
 * FOR KEY SHARE makes a takeover wait for the statements that were let in under the old epoch (the unique (id, epoch)
 * makes the epoch a key); giving a shard back does not wait. bulkhead.record_turn() (migrations/0005) proves it likewise.
 */

/**
 * Part of a statement: `fence` has one row, its `shard`, while the fence holds, and none when it is outdated.
 * Its five parameters come first: {@link fenceValues}.
 */
export const FENCE_CTE = `fence as materialized (
  select id as shard from bulkhead.shard
  where owner = $1::uuid and id = $2::smallint and epoch = $3::bigint
    and bulkhead.system_identifier() = $4::text and bulkhead.timeline() = $5::integer
  for key share
)`;

export const fenceValues = ({ replica, shard, epoch }: Fence): readonly unknown[] => [
  replica,
  shard,
  epoch.n,
  epoch.system,
  epoch.timeline,
];

/**
 * The same for many: `fence` has a row for each that holds.
 * Its five parameters come first: {@link fencesValues}.
 */
export const FENCES_CTE = `fence as materialized (
  select s.id as shard
  from unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::text[],
    $5::integer[]) given (replica, shard, n, system, timeline)
  join bulkhead.shard s on s.id = given.shard and s.owner = given.replica and s.epoch = given.n
  where given.system = (select bulkhead.system_identifier()) and given.timeline = (select bulkhead.timeline())
  order by s.id
  for key share of s
)`;

export const fencesValues = (fences: readonly Fence[]): readonly unknown[] => [
  fences.map((fence) => fence.replica),
  fences.map((fence) => fence.shard),
  fences.map((fence) => fence.epoch.n),
  fences.map((fence) => fence.epoch.system),
  fences.map((fence) => fence.epoch.timeline),
];

export function fenced({ replica, shard, epoch }: Fence): StoreError {
  return new StoreError(
    'fenced',
    `Replica ${replica} does not hold shard ${shard} under epoch ${formatEpoch(epoch)} any more: ` +
      'another has taken over, or the database was promoted or restored.',
  );
}
