import { formatEpoch } from '../job/epoch.ts';
import { type ClusterId, type JobId, type Shard, shardOf } from '../job/ids.ts';
import type { Withheld } from '../plan/status.ts';
import { ClusterError, type EpochFence } from '../ports/cluster.ts';
import type { Log } from '../ports/log.ts';
import type { Fence, ShardLeases } from '../ports/shards.ts';
import type { BehindRegistry, FenceConfirmer } from '../ports/store.ts';
import type { ActiveCluster, Controller } from './controller.ts';
import type { Outage } from './outage.ts';

/** A person, or an installer, has to do something: no need to look more often. */
const WITHHELD_RETRY_MS = 2_000;
const FAILED_RETRY_MS = 500;

type Raised = Awaited<ReturnType<EpochFence['raise']>>;

/** No later try mends these: a policy, a right or the fence itself is missing. */
const NEED_A_PERSON: ReadonlySet<ClusterError['kind']> = new Set(['unfenced', 'forbidden', 'fenced', 'invalid']);

export interface ReadyCluster extends ActiveCluster {
  readonly fence: EpochFence;
}

export interface ActivationDeps {
  readonly controller: Pick<Controller, 'activate' | 'deactivate'>;
  readonly store: Pick<FenceConfirmer, 'followsFence'> & BehindRegistry & Pick<ShardLeases, 'holding'>;
  /** The shard is another replica's after all. */
  readonly onFenced: (fence: Fence) => void;
  /** Says of every job of these shards that nothing is written for it, and why. @throws StoreError */
  readonly withhold: (fences: readonly Fence[], clusterId: ClusterId, withheld: Withheld) => Promise<void>;
  readonly outage: Outage;
  readonly log: Log;
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
  /** Why the last try came to nothing, where nobody but a later try can help. */
  #trouble: string | null = null;
  #checking = new Set<Shard>();
  #closed = false;
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

  /** A job has changed: while its shard is withheld, it is told why, as all others were. */
  changed(id: JobId): void {
    if (this.#told.delete(shardOf(id))) this.#kick();
  }

  /** The cluster refused a write under this fence: finds out whether the shard is another replica's by now. */
  check(fence: Fence): void {
    const cluster = this.#cluster;
    if (!cluster || this.#checking.has(fence.shard)) return;
    this.#checking.add(fence.shard);
    void this.#isOutdated(cluster, fence).then(
      (outdated) => {
        this.#checking.delete(fence.shard);
        if (outdated && this.#cluster === cluster) this.#startAgain(fence.shard);
      },
      (error: unknown) => {
        this.#checking.delete(fence.shard);
        this.#deps.outage.lost('the fence', error);
      },
    );
  }

  /** Why a person has to do something before all shards that are ours can be acted for; null when nobody has to. */
  get withheld(): Withheld | null {
    return this.#refused?.withheld ?? this.#hindrance;
  }

  /** Why shards that are ours are not acted for, as a sentence; null when they all are. */
  get hindrance(): string | null {
    const { withheld } = this;
    if (withheld) return `${withheld.reason}: ${withheld.why}`;
    const idle = this.#owned.size - this.#active.size;
    if (idle === 0 || !this.#cluster) return null;
    return `${idle} of ${this.#owned.size} shards are not acted for yet: ${this.#trouble ?? 'the fence is being raised'}`;
  }

  get activeCount(): number {
    return this.#active.size;
  }

  /** Begins nothing from here on. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#cluster = null;
    this.#refused = null;
  }

  #kick(): void {
    if (this.#closed) return;
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
        this.#trouble = null;
        this.#deps.outage.back('the fence');
      } catch (error) {
        this.#trouble = error instanceof Error ? error.message : String(error);
        this.#deps.outage.lost('the fence', error);
        retryMs = FAILED_RETRY_MS;
      }
    }
    this.#working = false;
    if (retryMs !== null && !this.#closed) this.#timer = setTimeout(() => this.#kick(), retryMs).unref();
  }

  /** @returns after what time to try again; null when nothing is left to do */
  async #step(): Promise<number | null> {
    const pending = [...this.#owned.values()].filter(({ shard }) => !this.#active.has(shard));
    if (this.#refused) {
      await this.#tell(pending, this.#refused.clusterId, this.#refused.withheld);
      return null;
    }
    const cluster = this.#cluster;
    if (!cluster || pending.length === 0) {
      this.#hinder(null);
      return null;
    }
    try {
      const { raised, behind } = await this.#raise(cluster, pending);
      if (behind.length > 0) return await this.#behind(cluster, behind, raised);
      this.#hinder(null);
      await this.#activate(cluster, raised);
      return null;
    } catch (error) {
      if (!(error instanceof ClusterError && NEED_A_PERSON.has(error.kind))) throw error;
      await this.#tell(pending, cluster.clusterId, this.#hinder({ reason: 'FenceMissing', why: error.message }));
      return WITHHELD_RETRY_MS;
    }
  }

  /** Said when it begins and when it is over, however often it is tried in between. */
  #hinder<W extends Withheld | null>(withheld: W): W {
    const { log } = this.#deps;
    const before = this.#hindrance?.reason;
    this.#hindrance = withheld;
    if (withheld && withheld.reason !== before) log.error({}, `${withheld.reason}: ${withheld.why}`);
    if (!withheld && before) log.info({}, `${before} is over`);
    return withheld;
  }

  /** What was once found behind stays so until a person confirms it: every claim adds to n, and would outgrow the fence. */
  async #raise(cluster: ReadyCluster, pending: readonly Fence[]): Promise<Raised> {
    const { store } = this.#deps;
    const known = await store.behindShards(pending.map(({ shard }) => shard));
    const may = pending.filter(({ shard }) => !known.has(shard));
    const { raised, behind } = await cluster.fence.raise(may, (shard, found) => store.followsFence(shard, found));
    const remembered = pending.flatMap((fence) => {
      const found = known.get(fence.shard);
      return found ? [{ fence, found }] : [];
    });
    return { raised, behind: [...behind, ...remembered] };
  }

  /** As if the shard had just been gained: raising finds out whose it is, and puts back a fence that was taken away. */
  #startAgain(shard: Shard): void {
    if (!this.#active.delete(shard)) return;
    this.#deps.controller.deactivate([shard]);
    this.#kick();
  }

  async #isOutdated(cluster: ReadyCluster, { shard, epoch }: Fence): Promise<boolean> {
    const found = (await cluster.fence.read()).get(shard);
    return found === undefined || formatEpoch(found) !== formatEpoch(epoch);
  }

  async #activate(cluster: ReadyCluster, raised: readonly Fence[]): Promise<void> {
    const isOurs = (fence: Fence) => this.#owned.get(fence.shard) === fence;
    if (this.#cluster !== cluster || this.#closed) return;
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
  async #behind(cluster: ReadyCluster, behind: Raised['behind'], raised: readonly Fence[]): Promise<number> {
    await this.#activate(cluster, raised);
    const fences = behind.map(({ fence }) => fence);
    const holding = new Set((await this.#deps.store.holding(fences)).map(({ shard }) => shard));
    for (const fence of fences) if (!holding.has(fence.shard)) this.#deps.onFenced(fence);
    const ourOwn = behind.filter(({ fence }) => holding.has(fence.shard));
    const first = ourOwn[0];
    if (!first) return FAILED_RETRY_MS;
    await this.#deps.store.recordBehind(ourOwn);
    const ours = formatEpoch(first.fence.epoch);
    const hindrance = this.#hinder({
      reason: 'StoreBehind',
      why: `the cluster's fence has seen more than this store (${formatEpoch(first.found)} against ${ours}): the store was restored, or promoted from behind, and goals may be missing; nothing is written until a person has looked: bulkhead store confirm --reason …`,
    });
    await this.#tell(
      ourOwn.map(({ fence }) => fence),
      cluster.clusterId,
      hindrance,
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
