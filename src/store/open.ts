import { storeId } from '../job/ids.ts';
import type { ShardLeases } from '../ports/shards.ts';
import type {
  BehindRegistry,
  Brake,
  ChangeReader,
  ClusterRegistry,
  EventStore,
  FenceConfirmer,
  GoalCatalog,
  GoalHints,
  GoalReader,
  GoalWriter,
  HistoryReader,
  OverrideExpiry,
  StatusStore,
  TurnRecorder,
} from '../ports/store.ts';
import { behindShards, recordBehind } from './behind.ts';
import { brakeState, releaseBrake, reserveRemoval } from './brake.ts';
import { changesSince, cursor, jobsOf } from './changes.ts';
import { acceptCluster, acceptedCluster, currentCluster, recordCluster } from './clusters.ts';
import { confirmFence, followsFence } from './confirm.ts';
import { events } from './events.ts';
import { expireOverrides } from './expiry.ts';
import { find, findRemoved, goals, heads, knows, list } from './goals.ts';
import { listen } from './hints.ts';
import { history, revisionOf } from './history.ts';
import { heartbeat, holding, leave, replicas, whenServerChanges, yieldShards } from './leases.ts';
import { readMigrations, requireCurrentSchema } from './migrate.ts';
import { platformHistory, platforms, writePlatform } from './platform.ts';
import { type Database, openDatabase } from './pool.ts';
import { record } from './record.ts';
import { statuses } from './status.ts';
import { write } from './write.ts';

/** Everything the rest of Bulkhead asks of Postgres, and the end of it. */
export interface Store
  extends GoalReader,
    ChangeReader,
    GoalWriter,
    GoalCatalog,
    HistoryReader,
    OverrideExpiry,
    StatusStore,
    EventStore,
    TurnRecorder,
    ClusterRegistry,
    ShardLeases,
    FenceConfirmer,
    BehindRegistry,
    Brake,
    GoalHints {
  /** Closes the connections; waits no longer than a few seconds. Does not end a `listen`: abort its signal. */
  close(): Promise<void>;
}

export interface OpenOptions {
  /** postgres://USER:PASSWORD@HOST:PORT/DATABASE */
  readonly url: string;
  /** What `pg_stat_activity` shows. */
  readonly applicationName: string;
  /** Connections beside those of the lease and the hints. */
  readonly maxConnections?: number;
  /** Limit of every statement, kept by the server and, for a server that went silent, here. */
  readonly statementTimeoutMs?: number;
  /** How often the hints' connection is checked. */
  readonly pingIntervalMs?: number;
}

const MAX_CONNECTIONS = 10;
const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 10_000;
/** Short, since a lease runs out while it waits. */
const LEASE_TIMEOUT_MS = 3_000;
const PING_INTERVAL_MS = 10_000;
const PING_TIMEOUT_MS = 5_000;

async function readStoreId(db: Database): Promise<string> {
  const [row] = await db.query<{ id: string }>('select id from bulkhead.store');
  return row?.id ?? '';
}

/** A lazy pool of one, so that a busy store never keeps the lease from being renewed. */
function leaseConnection(options: OpenOptions): { open(): Promise<Database>; close(): Promise<void> } {
  let opened: Promise<Database> | undefined;
  const open = async (): Promise<Database> => {
    opened ??= openDatabase({
      url: options.url,
      applicationName: `${options.applicationName} (lease)`,
      maxConnections: 1,
      connectTimeoutMs: LEASE_TIMEOUT_MS,
      statementTimeoutMs: LEASE_TIMEOUT_MS,
    });
    try {
      return await opened;
    } catch (error) {
      opened = undefined;
      throw error;
    }
  };
  return {
    open,
    close: async () => {
      const db = await opened?.catch(() => undefined);
      await db?.close();
    },
  };
}

/**
 * Opens a migrated store.
 * @throws StoreError `unavailable` when nobody answers; `configuration` when a person must do something, among it a
 *   schema that is newer than this Bulkhead, or not migrated yet
 */
export async function openStore(options: OpenOptions): Promise<Store> {
  const { url, applicationName } = options;
  const db = await openDatabase({
    url,
    applicationName,
    maxConnections: options.maxConnections ?? MAX_CONNECTIONS,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    statementTimeoutMs: options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS,
  });
  const lease = leaseConnection(options);
  // The first to notice that the address leads to another server tells the rest.
  const meet = whenServerChanges(() => db.reset());
  const listenOptions = {
    url,
    applicationName,
    pingIntervalMs: options.pingIntervalMs ?? PING_INTERVAL_MS,
    answerTimeoutMs: PING_TIMEOUT_MS,
  };
  try {
    await requireCurrentSchema(db, await readMigrations());
    return {
      storeId: storeId(await readStoreId(db)),
      heads: (shards) => heads(db, shards),
      goals: (ids) => goals(db, ids),
      cursor: () => cursor(db),
      changesSince: (from) => changesSince(db, from),
      jobsOf: (tenant, shards) => jobsOf(db, tenant, shards),
      write: (changes, origin, options) => write(db, changes, origin, options),
      writePlatform: (change, origin) => writePlatform(db, change, origin),
      list: (filter) => list(db, filter),
      find: (job) => find(db, job),
      findRemoved: (job) => findRemoved(db, job),
      knows: (ids) => knows(db, ids),
      revisionOf: (id, revision) => revisionOf(db, id, revision),
      history: (id) => history(db, id),
      platforms: () => platforms(db),
      platformHistory: (tenant) => platformHistory(db, tenant),
      expireOverrides: (fences) => expireOverrides(db, fences),
      statuses: (ids) => statuses(db, ids),
      events: (filter) => events(db, filter),
      record: (fence, turn) => record(db, fence, turn),
      currentCluster: () => currentCluster(db),
      recordCluster: (fence, cluster) => recordCluster(db, fence, cluster),
      acceptCluster: (id, origin) => acceptCluster(db, id, origin),
      acceptedCluster: () => acceptedCluster(db),
      heartbeat: async (self, ttlMs) => heartbeat(await lease.open(), self, ttlMs, meet),
      yieldShards: async (replica, shards) => yieldShards(await lease.open(), replica, shards),
      leave: async (replica) => leave(await lease.open(), replica),
      replicas: () => replicas(db),
      holding: async (fences) => holding(await lease.open(), fences),
      confirmFence: (confirmation, origin) => confirmFence(db, confirmation, origin),
      followsFence: (shard, found) => followsFence(db, shard, found),
      recordBehind: (behind) => recordBehind(db, behind),
      behindShards: (shards) => behindShards(db, shards),
      reserveRemoval: (fence, id, revision) => reserveRemoval(db, fence, id, revision),
      brakeState: () => brakeState(db),
      releaseBrake: (origin) => releaseBrake(db, origin),
      listen: (handlers, signal) => listen(listenOptions, handlers, signal),
      close: async () => {
        await Promise.all([db.close(), lease.close()]);
      },
    };
  } catch (error) {
    await db.close();
    throw error;
  }
}
