import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { type HealthServer, type Readiness, reasonsOf, serveHealth } from './api/health.ts';
import { type OperatorReadings, operatorMetrics } from './api/metrics.ts';
import { KubernetesFence } from './cluster/epoch-fence.ts';
import { ClusterKeeper, type KeeperHandlers } from './cluster/keeper.ts';
import type { ClusterSession } from './cluster/session.ts';
import type { TargetOptions } from './cluster/target.ts';
import { type JobId, parseJobId, replicaId, shard } from './job/ids.ts';
import type { ClusterIdentity } from './ports/cluster.ts';
import type { Log } from './ports/log.ts';
import type { Fence } from './ports/shards.ts';
import { StoreError } from './ports/store.ts';
import { Activation } from './reconcile/activation.ts';
import { Controller } from './reconcile/controller.ts';
import { GoalFeed } from './reconcile/goal-feed.ts';
import { Outage } from './reconcile/outage.ts';
import { type LeaseTiming, ShardKeeper } from './reconcile/shard-keeper.ts';
import { StreamJobSide } from './reconcile/stream-job-side.ts';
import { withholdAll } from './reconcile/withhold.ts';
import { Signals } from './signals/signals.ts';
import type { Tracing } from './signals/tracing.ts';
import type { Store } from './store/open.ts';

/** How long a shutdown waits for the actions in hand; with the rest it stays below the 10 s that are promised. */
const DRAIN_MS = 7_000;
/** Its owner speaks for the whole store. */
const SPEAKER_SHARD = shard(0);

export interface OperatorOptions {
  readonly store: Store;
  readonly target: TargetOptions;
  /** The tenants' namespaces to work in, where none may be made; left out: all of them. */
  readonly namespaces?: readonly string[];
  readonly health: { readonly host: string; readonly port: number } | null;
  readonly log: Log;
  /** Left out: no traces. */
  readonly tracing?: Tracing | null;
  readonly timing?: LeaseTiming;
  /** What the operator may not do and has to, for readiness; null when it may do all. */
  readonly lackingRights?: () => string | null;
}

/**
 * The composition root: the only file that knows every part. It wires store, cluster and reconcile together and holds
 * no logic of its own.
 *
 * shard owned + cluster connected and admitted + fence raised → the controller acts for the shard; each loss ends it.
 */
export class Operator {
  readonly #options: OperatorOptions;
  readonly #log: Log;
  readonly #signals: Signals;
  readonly #stop = new AbortController();
  /** Aborted after {@link #stop}, when no action is in hand any more. */
  readonly #disconnect = new AbortController();
  readonly #shards: ShardKeeper;
  readonly #controller: Controller;
  readonly #activation: Activation;
  readonly #feed: GoalFeed;
  readonly #keeper: ClusterKeeper;
  readonly #clusterOutage: Outage;
  readonly #storeOutage: Outage;
  #session: ClusterSession | null = null;
  #cluster: ClusterIdentity | null = null;
  #refused: string | null = null;
  /** A cluster that another replica has to take in first. */
  #undecided: string | null = null;
  /** Marks of the fence that this process has raised, over all connections. */
  readonly #raisedHere = new Set<string>();

  constructor(options: OperatorOptions) {
    const { store, log } = options;
    this.#options = options;
    this.#log = log;
    this.#signals = new Signals({ log, tracing: options.tracing ?? null });
    this.#clusterOutage = new Outage('the cluster', log);
    this.#storeOutage = new Outage('the goal store', log);
    this.#shards = this.#shardKeeper();
    this.#feed = new GoalFeed(store, {
      onChanged: this.#changed,
      onPlatform: async (tenant) => {
        await this.#controller.wakeTenant(tenant);
        for (const key of this.#session?.streamJobs.newcomers(tenant) ?? []) this.#controller.hint(key);
      },
      onEverything: () => this.#controller.wakeEverything(),
    });
    this.#controller = new Controller({
      storeId: store.storeId,
      feed: this.#feed,
      store,
      log,
      signals: this.#signals.reconcile,
      fence: (owned) => this.#shards.fence(owned),
      onFenced: this.#fenced,
      onRefused: (fence) => this.#activation.check(fence),
      onStoreTrouble: this.#storeTrouble,
      onUnauthorized: (error) => this.#session?.end(error),
    });
    this.#activation = new Activation({
      controller: this.#controller,
      store,
      onFenced: this.#fenced,
      withhold: (fences, clusterId, withheld) => withholdAll(store, fences, clusterId, withheld, Date.now()),
      outage: this.#clusterOutage,
      log,
    });
    this.#keeper = new ClusterKeeper(
      {
        storeId: store.storeId,
        target: options.target,
        ...(options.namespaces && { namespaces: options.namespaces }),
        registry: store,
        speaker: () => this.#shards.fence(SPEAKER_SHARD),
        replicasOf: async (id) => (await store.replicas()).filter((it) => it.alive && it.clusterId === id).length,
        calls: this.#signals.calls,
      },
      this.#keeperHandlers(),
    );
  }

  /** Runs until {@link stop}. @throws Error when the health port is taken */
  async run(): Promise<void> {
    const health = await this.#serveHealth();
    const { signal } = this.#stop;
    const keeping = this.#keeper.run(this.#disconnect.signal);
    // The lease is renewed until the last write has ended.
    const leasing = this.#shards.run(this.#shardHandlers, this.#disconnect.signal);
    try {
      await Promise.all([
        this.#feed.run({ each: this.#afterPoll, onError: this.#storeTrouble }, signal),
        this.#options.store.listen(
          {
            onJob: this.#changed,
            onOther: () => {
              this.#controller.wakeBraked();
              this.#shards.hurry();
              this.#poll();
            },
            onReady: this.#poll,
            onLost: this.#storeTrouble,
          },
          signal,
        ),
      ]);
      await this.#drained();
    } finally {
      await this.#shards.leave();
      this.#disconnect.abort();
      await Promise.all([keeping, leasing]);
      await health?.close();
    }
  }

  /** Finishes the action in hand of each job, gives the shards back, and lets {@link run} return. */
  stop(): void {
    this.#activation.close();
    this.#controller.deactivate();
    this.#stop.abort();
  }

  /** Resolves when no action is in hand any more, but not later than a shutdown can wait. */
  async #drained(): Promise<void> {
    const limit = new Promise((resolve) => setTimeout(resolve, DRAIN_MS).unref());
    await Promise.race([this.#controller.drained(), limit]);
  }

  #shardKeeper(): ShardKeeper {
    const { store, log, timing } = this.#options;
    const id = replicaId(randomUUID());
    return new ShardKeeper({
      leases: store,
      replica: { id, name: `${hostname()}-${process.pid}-${id.slice(0, 8)}` },
      clusterId: () => this.#cluster?.id ?? null,
      outage: this.#storeOutage,
      log,
      ...(timing && { timing }),
    });
  }

  readonly #shardHandlers = {
    onGained: (fences: readonly Fence[]): void => {
      if (this.#stop.signal.aborted) return;
      this.#activation.gained(fences);
      this.#keeper.hurry();
    },
    onLost: (shards: Parameters<Activation['lost']>[0]): void => this.#activation.lost(shards),
    beforeYield: (shards: Parameters<Activation['lost']>[0]): Promise<void> => this.#controller.drained(shards),
  };

  readonly #fenced = (fence: Fence): void => {
    this.#log.warn(
      { shard: fence.shard, epoch: fence.epoch.n },
      'a write was refused: the shard is another replica’s now',
    );
    this.#shards.lost(fence, this.#shardHandlers);
  };

  #keeperHandlers(): KeeperHandlers {
    const { store, log } = this.#options;
    return {
      onReady: async (session, identity) => {
        const { cache, executor } = session;
        const cell = {
          executor,
          get capabilities() {
            return session.capabilities;
          },
          observe: cache.observe.bind(cache),
          expectWrite: cache.expectWrite.bind(cache),
          recordWrite: cache.recordWrite.bind(cache),
          recordRead: cache.recordRead.bind(cache),
          recordAbsence: cache.recordAbsence.bind(cache),
        };
        this.#session = session;
        this.#cluster = identity;
        this.#refused = null;
        this.#undecided = null;
        this.#clusterOutage.back('the operator');
        this.#log.info(
          { cluster: identity.id, context: identity.contextName, server: identity.server },
          'watching the cluster',
        );
        const fence = new KubernetesFence(session.transport, store.storeId, this.#raisedHere);
        const jobsSeen = () => [
          ...[...cache.cells()].flatMap(({ jobId: labelled }) => parseJobId(labelled) ?? []),
          ...session.streamJobs.keys(),
        ];
        const streamJobs = new StreamJobSide({ jobs: session.streamJobs, storeId: store.storeId, store, log });
        this.#activation.connected({ clusterId: identity.id, cell, jobsSeen, fence, streamJobs });
      },
      beforeClose: async () => {
        this.#activation.disconnected();
        await this.#drained();
      },
      onLost: (error) => {
        this.#activation.disconnected();
        this.#session = null;
        this.#cluster = null;
        if (error instanceof StoreError) this.#storeTrouble(error);
        else this.#clusterOutage.lost('the operator', error);
      },
      onRefused: async (identity, why) => {
        if (this.#refused !== why) this.#log.error({ cluster: identity.id }, `ClusterChanged: ${why}`);
        this.#refused = why;
        this.#activation.refused(identity.id, { reason: 'ClusterChanged', why });
      },
      onUndecided: (identity, why) => {
        if (this.#undecided !== why) this.#log.info({ context: identity.contextName }, why);
        this.#undecided = why;
      },
      onAdopted: (identity, why) => this.#log.info({ cluster: identity.id }, `cluster taken in: ${why}`),
      onChange: ({ namespace, jobId: labelled, isDrift }) =>
        this.#controller.wakeNamespace(namespace, parseJobId(labelled), isDrift ? 'repair' : 'backlog'),
      onStreamJob: (key) => this.#controller.hint(key),
      onStreamJobs: () => void this.#controller.wakeEverything().catch(this.#storeTrouble),
    };
  }

  /** Ends on-call layers whose time is over; their jobs come by the feed like any other change. */
  readonly #afterPoll = async (): Promise<void> => {
    this.#storeFine();
    const fences = this.#shards.fences();
    if (fences.length === 0) return;
    for (const id of await this.#options.store.expireOverrides(fences)) this.#controller.wake(id);
  };

  readonly #changed = (id: JobId): void => {
    this.#controller.wake(id);
    this.#activation.changed(id);
  };

  readonly #poll = (): void => {
    this.#feed.poll().then(this.#storeFine, this.#storeTrouble);
  };

  readonly #storeTrouble = (error: unknown): void => this.#storeOutage.lost('reading and writing', error);
  readonly #storeFine = (): void => this.#storeOutage.back('reading and writing');

  async #serveHealth(): Promise<HealthServer | null> {
    if (!this.#options.health) return null;
    const metrics = operatorMetrics(this.#signals.registry, () => this.#readings());
    const health = await serveHealth(this.#options.health, () => this.#readiness(), metrics);
    this.#log.info({ url: health.url }, 'health is served');
    return health;
  }

  #readings(): OperatorReadings {
    const { depth, workingMs } = this.#controller.load;
    return {
      cursorLagMs: this.#feed.lagMs,
      shardsOwned: this.#shards.fences().length,
      shardsActive: this.#activation.activeCount,
      withheld: this.#activation.withheld?.reason ?? null,
      storeUp: !this.#storeOutage.down,
      clusterUp: this.#cluster !== null,
      ready: reasonsOf(this.#checks()).length === 0,
      queueDepth: depth,
      workingMs,
      maxTurns: this.#controller.concurrency,
      writes: this.#session?.transport.writes ?? { limit: 0, inFlight: 0, waiting: 0 },
      jobs: this.#signals.census.counts(this.#controller.shards),
    };
  }

  #readiness(): Readiness {
    return { checks: this.#checks(), notes: this.#session?.streamJobs.notes ?? [] };
  }

  #checks(): Readiness['checks'] {
    const store = this.#storeOutage.down ? 'the goal store does not answer' : null;
    const { hindrance } = this.#activation;
    // A cluster that was refused is no cluster that is silent.
    const isAbsent = !this.#cluster && this.#refused === null;
    const cluster = isAbsent ? (this.#undecided ?? 'the cluster does not answer') : null;
    return [
      { name: 'store', reason: store },
      { name: 'cluster', reason: cluster },
      { name: 'shards', reason: hindrance },
      { name: 'rights', reason: this.#options.lackingRights?.() ?? null },
      { name: 'streamjobs', reason: this.#session?.streamJobs.hindrance ?? null },
    ];
  }
}
