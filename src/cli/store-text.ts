import { compareToFence, type Epoch, formatEpoch } from '../job/epoch.ts';
import type { Shard, StoreId } from '../job/ids.ts';
import type { ReplicaInfo } from '../ports/shards.ts';
import type { KnownCluster } from '../ports/store.ts';
import { age, ageOf, fields, indent, table } from './output.ts';
import { operatorLine } from './replicas.ts';
import type { StoreFacts } from './store-facts.ts';

/** What a store is and who acts for it, and how it stands to a cluster's fence. Pure. */

export interface StoreReport {
  readonly storeId: StoreId;
  /** Where the database is, without its password. */
  readonly target: string;
  readonly facts: StoreFacts;
  /** Newest schema that this Bulkhead has. */
  readonly knownSchema: number;
  readonly replicas: readonly ReplicaInfo[];
  readonly cluster: KnownCluster | null;
}

const systemText = ({ system, timeline }: StoreFacts): string =>
  timeline === 0 ? `${system}, a standby` : `${system}, timeline ${timeline}`;

function replicaTable({ replicas, cluster }: StoreReport, now: number): string {
  const where = (id: string | null): string =>
    id === null ? 'not connected' : id === cluster?.id ? `${id} (context ${cluster.contextName})` : id;
  return table(
    ['NAME', 'STATE', 'SHARDS', 'CLUSTER', 'AGE'],
    replicas.map((it) => [
      it.name,
      it.alive ? 'alive' : 'gone',
      String(it.shards.length),
      where(it.clusterId),
      ageOf(it.startedAt, now),
    ]),
  );
}

/** What `store status` prints. @param now milliseconds since 1970 */
export function storeText(report: StoreReport, now: number): string {
  const { storeId, target, facts, knownSchema, replicas } = report;
  const head = fields([
    ['Store', storeId],
    ['Database', target],
    ['System', systemText(facts)],
    ['Schema', `version ${facts.schemaVersion} (this Bulkhead knows up to ${knownSchema})`],
    ['Undelete', `a removed job keeps its name and can be brought back for ${age(0, facts.undeleteRetentionMs)}`],
    ['Operator', operatorLine(replicas)],
  ]);
  return replicas.length === 0 ? head : `${head}Replicas:\n${indent(replicaTable(report, now))}`;
}

export const storeObject = ({ storeId, target, facts, knownSchema, replicas, cluster }: StoreReport): unknown => ({
  storeId,
  database: target,
  system: facts.system,
  timeline: facts.timeline,
  schema: { version: facts.schemaVersion, known: knownSchema },
  undeleteRetentionMs: facts.undeleteRetentionMs,
  cluster: cluster && { id: cluster.id, contextName: cluster.contextName, server: cluster.server },
  replicas: replicas.map((it) => ({
    id: it.id,
    name: it.name,
    alive: it.alive,
    startedAt: it.startedAt.toISOString(),
    clusterId: it.clusterId,
    shards: it.shards,
  })),
});

export type FenceMap = ReadonlyMap<Shard, Epoch>;

/** Whether the fence as it stands is ahead, unless a person has confirmed it. */
export const looksBehind = ({ system, timeline, epochs }: StoreFacts, shard: Shard, found: Epoch): boolean =>
  compareToFence({ system, timeline, n: epochs.get(shard) ?? 0 }, found) === 'behind';

/**
 * The shards that nothing is written for until a person says so, each with what it is behind: where the fence has seen
 * more than the store, and where operators have found that before, though claims have outgrown the fence since.
 * @param followed shards whose fence a person has confirmed: the next owner's number will be above it
 * @param remembered what operators have found ahead
 */
export function behindOf(
  facts: StoreFacts,
  fence: FenceMap,
  followed: ReadonlySet<Shard>,
  remembered: FenceMap,
): FenceMap {
  const isBehind = ([shard, found]: readonly [Shard, Epoch]): boolean => {
    if (remembered.has(shard)) return true;
    if ((facts.epochs.get(shard) ?? 0) >= found.n && followed.has(shard)) return false;
    return looksBehind(facts, shard, found);
  };
  return new Map([...remembered, ...[...fence].filter(isBehind)]);
}

const highest = (numbers: Iterable<number>): number => Math.max(0, ...numbers);

/** Where the fence stands: each system and timeline that it names. */
function fenceLine(fence: FenceMap): string {
  if (fence.size === 0) return 'says nothing about this store; operators found another one ahead';
  const lives = Map.groupBy(fence.values(), ({ system, timeline }) => `system ${system}, timeline ${timeline}`);
  return [...lives]
    .map(
      ([life, epochs]) => `${life}: ${epochs.length} of 256 shards, epochs up to ${highest(epochs.map(({ n }) => n))}`,
    )
    .join('; ');
}

/** Both sides of a confirmation, before it is asked for. */
export function confirmText(
  { target, facts }: Pick<StoreReport, 'target' | 'facts'>,
  cluster: { readonly contextName: string; readonly server: string },
  fence: FenceMap,
  behind: FenceMap,
): string {
  const example = [...behind][0];
  const shown = example
    ? `; shard ${example[0]} is at ${formatEpoch({ ...facts, n: facts.epochs.get(example[0]) ?? 0 })} here and at ${formatEpoch(example[1])} there`
    : '';
  return fields([
    ['This store', `${target}: system ${systemText(facts)}, epochs up to ${highest(facts.epochs.values())}`],
    ['The fence', `of context ${cluster.contextName} (${cluster.server}): ${fenceLine(fence)}`],
    ['Behind', `${behind.size} ${behind.size === 1 ? 'shard' : 'shards'}${shown}`],
  ]);
}

export const CONFIRM_QUESTION =
  'The cluster was managed from a newer state than this database has: it was restored from a backup, promoted without its last writes, or is a former primary. Whatever was changed there since is lost, and cells will be made as this database says. Go on only if no other database of this store is in use. Go on?';
