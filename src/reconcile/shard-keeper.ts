import { setTimeout as sleep } from 'node:timers/promises';
import { formatEpoch } from '../job/epoch.ts';
import type { ClusterId, ReplicaId, Shard } from '../job/ids.ts';
import { errorFields, type Log } from '../ports/log.ts';
import type { Fence, ShardLeases, Standing } from '../ports/shards.ts';
import type { Outage } from './outage.ts';

export interface LeaseTiming {
  readonly ttlMs: number;
  readonly renewEveryMs: number;
}

/**
 * A crashed replica is followed within its lease and one heartbeat of another, which leaves 3 s of the 10 s of faults.md
 * row 20 for raising the fence and looking at the jobs.
 */
export const DEFAULT_LEASE_TIMING: LeaseTiming = { ttlMs: 5_000, renewEveryMs: 1_500 };

/** Shards are given back after the actions in hand, but not later: a graceful handover takes 3 s at the most. */
const YIELD_LIMIT_MS = 2_500;

export interface ShardHandlers {
  /** These shards are ours from now on, each under a new epoch. */
  readonly onGained: (fences: readonly Fence[]) => void;
  /** Not ours any more, or not for sure: nothing may be written for them. */
  readonly onLost: (shards: readonly Shard[]) => void;
  /** They go to another replica: resolves when no action of theirs is in hand. */
  readonly beforeYield: (shards: readonly Shard[]) => Promise<void>;
}

export interface ShardKeeperOptions {
  readonly leases: ShardLeases;
  readonly replica: { readonly id: ReplicaId; readonly name: string };
  /** The cluster that this replica is connected to; null while it is not. */
  readonly clusterId: () => ClusterId | null;
  readonly outage: Outage;
  readonly log: Log;
  readonly timing?: LeaseTiming;
}

/**
 * Holds this replica's lease and the shards that come with it. The database's clock decides who owns what; on this side
 * a monotonic clock decides until when we may believe so, counted from before the question was asked.
 */
export class ShardKeeper {
  readonly #options: ShardKeeperOptions;
  readonly #timing: LeaseTiming;
  readonly #held = new Map<Shard, Fence>();
  /** Being given back: still ours, so that what is in hand can be recorded, but nothing new is begun for them. */
  readonly #yielding = new Set<Shard>();
  #validUntil = 0;
  #expiry: NodeJS.Timeout | undefined;
  #left = false;
  /** Ends the pause before the next heartbeat. */
  #hurry = new AbortController();
  /** One call to the store after the other, so that no answer is taken in after a later call has changed its truth. */
  #calls: Promise<void> = Promise.resolve();

  constructor(options: ShardKeeperOptions) {
    this.#options = options;
    this.#timing = options.timing ?? DEFAULT_LEASE_TIMING;
  }

  /** The proof of ownership; null while we have none or cannot be sure. */
  fence(shard: Shard): Fence | null {
    return performance.now() < this.#validUntil ? (this.#held.get(shard) ?? null) : null;
  }

  /** All shards that we may act for now. */
  fences(): Fence[] {
    if (performance.now() >= this.#validUntil) return [];
    return [...this.#held.values()].filter(({ shard }) => !this.#yielding.has(shard));
  }

  /** Sends heartbeats until `signal` aborts. {@link leave} then gives everything back. */
  async run(handlers: ShardHandlers, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#hurry = new AbortController();
      await this.#inTurn(() => this.#beat(handlers));
      const either = AbortSignal.any([signal, this.#hurry.signal]);
      await sleep(this.#timing.renewEveryMs, undefined, { signal: either }).catch(() => undefined);
    }
  }

  /** Shards may have become free: the next heartbeat comes at once. */
  hurry(): void {
    this.#hurry.abort();
  }

  /** To be called when the last write has ended: successors need not wait for the lease's end. */
  async leave(): Promise<void> {
    const { leases, replica, log } = this.#options;
    this.#left = true;
    this.#dropAll(() => undefined);
    try {
      await leases.leave(replica.id);
    } catch (error) {
      log.warn(errorFields(error), 'the shards could not be given back; successors wait for the end of the lease');
    }
  }

  /** The store or the cluster refused this fence: somebody else owns the shard. */
  lost(fence: Fence, handlers: ShardHandlers): void {
    const held = this.#held.get(fence.shard);
    if (!held || formatEpoch(held.epoch) !== formatEpoch(fence.epoch)) return;
    this.#held.delete(fence.shard);
    handlers.onLost([fence.shard]);
  }

  async #beat(handlers: ShardHandlers): Promise<void> {
    const { leases, replica, outage, clusterId } = this.#options;
    const askedAt = performance.now();
    try {
      const standing = await leases.heartbeat({ ...replica, clusterId: clusterId() }, this.#timing.ttlMs);
      outage.back('the lease');
      if (this.#left) return;
      this.#believeUntil(askedAt + this.#timing.ttlMs, handlers);
      this.#take(standing, handlers);
      this.#giveBack(standing.surplus, handlers);
    } catch (error) {
      outage.lost('the lease', error);
    }
  }

  #believeUntil(validUntil: number, handlers: ShardHandlers): void {
    this.#validUntil = validUntil;
    clearTimeout(this.#expiry);
    this.#expiry = setTimeout(() => this.#expire(handlers), Math.max(0, validUntil - performance.now()));
    this.#expiry.unref();
  }

  #take({ fences, replicas }: Standing, handlers: ShardHandlers): void {
    const now = new Map(fences.map((fence) => [fence.shard, fence]));
    const isSame = (fence: Fence, other: Fence | undefined) =>
      other !== undefined && formatEpoch(fence.epoch) === formatEpoch(other.epoch);
    const lost = [...this.#held.values()].filter((fence) => !isSame(fence, now.get(fence.shard)));
    for (const { shard } of lost) this.#held.delete(shard);
    // What is being given back is not taken up again, however late this answer comes.
    const gained = fences.filter(({ shard }) => !this.#held.has(shard) && !this.#yielding.has(shard));
    for (const fence of gained) this.#held.set(fence.shard, fence);
    if (lost.length + gained.length === 0) return;
    const { log } = this.#options;
    log.info({ gained: gained.length, lost: lost.length, owned: this.#held.size, replicas }, 'the shards were divided');
    if (lost.length > 0) handlers.onLost(lost.map((fence) => fence.shard));
    if (gained.length > 0) handlers.onGained(gained);
  }

  /** In the background: the lease must be renewed meanwhile. */
  #giveBack(surplus: number, handlers: ShardHandlers): void {
    const count = surplus - this.#yielding.size;
    if (count <= 0) return;
    // Shard 0 speaks for the store, so it is the last to move.
    const staying = [...this.#held.keys()].filter((shard) => !this.#yielding.has(shard));
    const shards = staying.sort((a, b) => b - a).slice(0, count);
    for (const shard of shards) this.#yielding.add(shard);
    void this.#yield(shards, handlers);
  }

  async #yield(shards: readonly Shard[], handlers: ShardHandlers): Promise<void> {
    const { leases, replica, log } = this.#options;
    handlers.onLost(shards);
    const limit = sleep(YIELD_LIMIT_MS, undefined, { ref: false });
    await Promise.race([handlers.beforeYield(shards), limit]);
    await this.#inTurn(async () => {
      for (const shard of shards) this.#held.delete(shard);
      try {
        await leases.yieldShards(replica.id, shards);
      } catch (error) {
        // The next heartbeat finds them still ours, takes them up again, and gives them back anew.
        log.warn(errorFields(error), 'shards could not be given back; it is tried again');
      }
      for (const shard of shards) this.#yielding.delete(shard);
    });
  }

  async #inTurn(call: () => Promise<void>): Promise<void> {
    this.#calls = this.#calls.then(call);
    await this.#calls;
  }

  #expire(handlers: ShardHandlers): void {
    this.#options.log.warn({}, 'the lease could not be renewed in time; nothing is written until it is');
    this.#dropAll(handlers.onLost);
  }

  #dropAll(onLost: (shards: readonly Shard[]) => void): void {
    this.#validUntil = 0;
    clearTimeout(this.#expiry);
    const shards = [...this.#held.keys()];
    this.#held.clear();
    if (shards.length > 0) onLost(shards);
  }
}
