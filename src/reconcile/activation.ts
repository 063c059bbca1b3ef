import { formatEpoch } from '../job/epoch.ts';
import type { ClusterId, Shard } from '../job/ids.ts';
import type { Withheld } from '../plan/status.ts';
import { ClusterError, type EpochFence } from '../ports/cluster.ts';
import type { Fence, ShardLeases } from '../ports/shards.ts';
import type { FenceConfirmer } from '../ports/store.ts';
import type { ActiveCluster, Controller } from './controller.ts';
import type { Outage } from './outage.ts';

/** A person, or an installer, has to do something: no need to look more often. */
const WITHHELD_RETRY_MS = 2_000;
const FAILED_RETRY_MS = 500;

export interface ReadyCluster extends ActiveCluster {
  readonly fence: EpochFence;
}

export interface ActivationDeps {
  readonly controller: Pick<Controller, 'activate' | 'deactivate'>;
  readonly store: Pick<FenceConfirmer, 'followsSystem'> & Pick<ShardLeases, 'holding'>;
  /** The shard is another replica's after all. */
  readonly onFenced: (fence: Fence) => void;
  /** Says of every job of these shards that nothing is written for it, and why. @throws StoreError */
  readonly withhold: (fences: readonly Fence[], clusterId: ClusterId, withheld: Withheld) => Promise<void>;
  readonly outage: Outage;
}

/**
 * Decides for which shards the controller may act: those that the store says are ours, once the cluster is connected and
 * its fence is raised to their epoch and proved to hold. Whatever is lost of the three takes the shard's activity along.
 */
export class Activation {
  readonly #deps: ActivationDeps;
  readonly #owned = new Map<Shard, Fence>();
  readonly #active = new Set<Shard>();
  /** What the jobs of a shard were last told. */
  readonly #told = new Map<Shard, string>();
  #cluster: ReadyCluster | null = null;
  /** A cluster that is there and may not be written to. */
  #refused: { readonly clusterId: ClusterId; readonly withheld: Withheld } | null = null;
  #hindrance: Withheld | null = null;
  #working = false;
  #again = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: ActivationDeps) {
    this.#deps = deps;
  }

  gained(fences: readonly Fence[]): void {
    for (const fence of fences) this.#owned.set(fence.shard, fence);
    this.#kick();
  }

  lost(shards: readonly Shard[]): void {
    for (const shard of shards) {
      this.#owned.delete(shard);
      this.#active.delete(shard);
      this.#told.delete(shard);
    }
    this.#deps.controller.deactivate(shards);
  }

  connected(cluster: ReadyCluster): void {
    this.#cluster = cluster;
    this.#refused = null;
    this.#kick();
  }

  disconnected(): void {
    this.#cluster = null;
    this.#active.clear();
    this.#deps.controller.deactivate();
  }

  /** The cluster that is there is not the jobs': says so of every job, now and of those that come with later shards. */
  refused(clusterId: ClusterId, withheld: Withheld): void {
    this.#refused = { clusterId, withheld };
    this.#kick();
  }

  /** Why shards that are ours are not acted for; null when they all are. */
  get hindrance(): Withheld | null {
    return this.#refused?.withheld ?? this.#hindrance;
  }

  get activeCount(): number {
    return this.#active.size;
  }

  /** Ends all retries. */
  close(): void {
    clearTimeout(this.#timer);
    this.#cluster = null;
    this.#refused = null;
  }

  #kick(): void {
    clearTimeout(this.#timer);
    this.#again = true;
    if (!this.#working) void this.#workOff();
  }

  async #workOff(): Promise<void> {
    this.#working = true;
    let retryMs: number | null = null;
    while (this.#again) {
      this.#again = false;
      try {
        retryMs = await this.#step();
        this.#deps.outage.back('the fence');
      } catch (error) {
        this.#deps.outage.lost('the fence', error);
        retryMs = FAILED_RETRY_MS;
      }
    }
    this.#working = false;
    if (retryMs !== null) this.#timer = setTimeout(() => this.#kick(), retryMs).unref();
  }

  /** @returns after what time to try again; null when nothing is left to do */
  async #step(): Promise<number | null> {
    const pending = [...this.#owned.values()].filter(({ shard }) => !this.#active.has(shard));
    if (this.#refused) {
      await this.#tell(pending, this.#refused.clusterId, this.#refused.withheld);
      return null;
    }
    this.#hindrance = null;
    const cluster = this.#cluster;
    if (!cluster || pending.length === 0) return null;
    try {
      const { raised, behind } = await cluster.fence.raise(pending, (system) => this.#deps.store.followsSystem(system));
      await this.#activate(cluster, raised);
      return behind.length > 0 ? await this.#behind(cluster, behind) : null;
    } catch (error) {
      if (!(error instanceof ClusterError && error.kind === 'unfenced')) throw error;
      this.#hindrance = { reason: 'FenceMissing', why: error.message };
      await this.#tell(pending, cluster.clusterId, this.#hindrance);
      return WITHHELD_RETRY_MS;
    }
  }

  async #activate(cluster: ReadyCluster, raised: readonly Fence[]): Promise<void> {
    const isOurs = (fence: Fence) => this.#owned.get(fence.shard) === fence;
    if (this.#cluster !== cluster) return;
    const shards = raised.filter(isOurs).map(({ shard }) => shard);
    if (shards.length === 0) return;
    for (const shard of shards) {
      this.#active.add(shard);
      this.#told.delete(shard);
    }
    try {
      await this.#deps.controller.activate(cluster, shards);
    } catch (error) {
      for (const shard of shards) this.#active.delete(shard);
      this.#deps.controller.deactivate(shards);
      throw error;
    }
  }

  /** Either another replica has claimed the shard since, or this store has seen less than the cluster. */
  async #behind(cluster: ReadyCluster, behind: Awaited<ReturnType<EpochFence['raise']>>['behind']): Promise<number> {
    const fences = behind.map(({ fence }) => fence);
    const holding = new Set((await this.#deps.store.holding(fences)).map(({ shard }) => shard));
    for (const fence of fences) if (!holding.has(fence.shard)) this.#deps.onFenced(fence);
    const ourOwn = behind.filter(({ fence }) => holding.has(fence.shard));
    const first = ourOwn[0];
    if (!first) return FAILED_RETRY_MS;
    const ours = formatEpoch(first.fence.epoch);
    this.#hindrance = {
      reason: 'StoreBehind',
      why: `the cluster's fence has seen more than this store (${formatEpoch(first.found)} against ${ours}): the store was restored, or promoted from behind, and goals may be missing; nothing is written until a person has looked: bulkhead store confirm --reason …`,
    };
    await this.#tell(
      ourOwn.map(({ fence }) => fence),
      cluster.clusterId,
      this.#hindrance,
    );
    return WITHHELD_RETRY_MS;
  }

  async #tell(fences: readonly Fence[], clusterId: ClusterId, withheld: Withheld): Promise<void> {
    const text = `${clusterId} ${withheld.reason} ${withheld.why}`;
    const news = fences.filter(({ shard }) => this.#told.get(shard) !== text);
    if (news.length === 0) return;
    await this.#deps.withhold(news, clusterId, withheld);
    for (const { shard } of news) this.#told.set(shard, text);
  }
}
