import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { type HealthServer, serveHealth } from './api/health.ts';
import { ClusterKeeper, type KeeperHandlers } from './cluster/keeper.ts';
import type { ClusterSession } from './cluster/session.ts';
import type { TargetOptions } from './cluster/target.ts';
import { type ClusterId, parseJobId } from './job/ids.ts';
import type { Log } from './ports/log.ts';
import { type Fence, StoreError } from './ports/store.ts';
import { Controller } from './reconcile/controller.ts';
import { GoalFeed } from './reconcile/goal-feed.ts';
import { LeaseKeeper } from './reconcile/lease-keeper.ts';
import { Outage } from './reconcile/outage.ts';
import { withholdAll } from './reconcile/withhold.ts';
import type { Store } from './store/open.ts';

/** How long a shutdown waits for the actions in hand; with the rest it stays below the 10 s that are promised. */
const DRAIN_MS = 7_000;

export interface OperatorOptions {
  readonly store: Store;
  readonly target: TargetOptions;
  readonly accepted: ClusterId | null;
  readonly health: { readonly host: string; readonly port: number } | null;
  readonly log: Log;
}

/**
 * The composition root: the only file that knows every part. It wires store, cluster and reconcile together and holds
 * no logic of its own.
 *
 * lease owned → cluster connected and admitted → controller active; each loss takes the later ones with it.
 */
export class Operator {
  readonly #options: OperatorOptions;
  readonly #log: Log;
  readonly #stop = new AbortController();
  /** Aborted after {@link #stop}, when no action is in hand any more. */
  readonly #disconnect = new AbortController();
  readonly #lease: LeaseKeeper;
  readonly #controller: Controller;
  readonly #feed: GoalFeed;
  readonly #clusterOutage: Outage;
  readonly #storeOutage: Outage;
  #session: ClusterSession | null = null;
  #clusterReady = false;
  #refused: string | null = null;
  #keeping: Promise<void> = Promise.resolve();

  constructor(options: OperatorOptions) {
    const { store, log } = options;
    this.#options = options;
    this.#log = log;
    this.#clusterOutage = new Outage('the cluster', log);
    this.#storeOutage = new Outage('the goal store', log);
    this.#lease = new LeaseKeeper(store, `${hostname()}-${randomUUID().slice(0, 8)}`, this.#storeOutage, log);
    this.#feed = new GoalFeed(store, (id) => this.#controller.wake(id));
    this.#controller = new Controller({
      storeId: store.storeId,
      goals: this.#feed,
      statuses: store,
      log,
      fence: () => this.#lease.fence(),
      onFenced: () => this.#lease.lost(this.#leaseHandlers),
      onStoreTrouble: this.#storeTrouble,
      onUnauthorized: (error) => this.#session?.end(error),
    });
  }

  /** Runs until {@link stop}. @throws Error when the health port is taken */
  async run(): Promise<void> {
    const health = await this.#serveHealth();
    const { signal } = this.#stop;
    try {
      await Promise.all([
        this.#lease.run(this.#leaseHandlers, signal),
        this.#feed.run(this.#storeFine, this.#storeTrouble, signal),
        this.#options.store.listen(
          {
            onHint: (id) => this.#controller.wake(id),
            onReady: () => void this.#feed.resync().then(this.#storeFine, this.#storeTrouble),
            onLost: this.#storeTrouble,
          },
          signal,
        ),
      ]);
      await this.#drained();
      this.#disconnect.abort();
      await this.#keeping;
    } finally {
      await this.#lease.release();
      await health?.close();
    }
  }

  /** Finishes the action in hand of each job, gives the lease up, and lets {@link run} return. */
  stop(): void {
    this.#controller.deactivate();
    this.#stop.abort();
  }

  /** Resolves when no action is in hand any more, but not later than a shutdown can wait. */
  async #drained(): Promise<void> {
    const limit = new Promise((resolve) => setTimeout(resolve, DRAIN_MS).unref());
    await Promise.race([this.#controller.drained(), limit]);
  }

  readonly #leaseHandlers = {
    onOwned: (fence: Fence, signal: AbortSignal): void => {
      const both = AbortSignal.any([signal, this.#disconnect.signal]);
      const before = this.#keeping;
      this.#keeping = before.then(() => this.#keeper(fence).run(fence, both));
    },
    onLost: (): void => {
      this.#controller.deactivate();
      this.#clusterReady = false;
      this.#log.warn({}, 'the work is not ours any more; nothing is written until it is');
    },
  };

  #keeper(fence: Fence): ClusterKeeper {
    const { store, target, accepted } = this.#options;
    return new ClusterKeeper(
      { storeId: store.storeId, target, registry: store, accepted },
      this.#keeperHandlers(fence),
    );
  }

  #keeperHandlers(fence: Fence): KeeperHandlers {
    const { store } = this.#options;
    return {
      onReady: async (session, identity) => {
        if (this.#stop.signal.aborted) return;
        const { cache, executor } = session;
        const cell = {
          executor,
          observe: (namespace: string) => cache.observe(namespace),
          recordWrite: cache.recordWrite.bind(cache),
          recordRead: cache.recordRead.bind(cache),
          recordAbsence: cache.recordAbsence.bind(cache),
        };
        if (!(await this.#controller.activate({ clusterId: identity.id, cell }))) return;
        this.#session = session;
        this.#clusterReady = true;
        this.#refused = null;
        this.#clusterOutage.back('the operator');
        this.#log.info(
          { cluster: identity.id, context: identity.contextName, server: identity.server },
          'watching the cluster',
        );
        for (const { namespace, jobId: labelled } of cache.cells())
          this.#controller.wakeNamespace(namespace, parseJobId(labelled));
      },
      beforeClose: async () => {
        this.#controller.deactivate();
        await this.#drained();
      },
      onLost: (error) => {
        this.#controller.deactivate();
        this.#clusterReady = false;
        this.#session = null;
        if (error instanceof StoreError) this.#storeTrouble(error);
        else this.#clusterOutage.lost('the operator', error);
      },
      onRefused: async (identity, why) => {
        if (this.#refused !== why) this.#log.error({ cluster: identity.id }, `ClusterChanged: ${why}`);
        this.#refused = why;
        await withholdAll(store, fence, identity.id, why, Date.now());
      },
      onAdopted: (identity, why) => this.#log.info({ cluster: identity.id }, `cluster taken in: ${why}`),
      onChange: ({ namespace, jobId: labelled }) => this.#controller.wakeNamespace(namespace, parseJobId(labelled)),
    };
  }

  readonly #storeTrouble = (error: unknown): void => this.#storeOutage.lost('reading and writing', error);
  readonly #storeFine = (): void => this.#storeOutage.back('reading and writing');

  async #serveHealth(): Promise<HealthServer | null> {
    if (!this.#options.health) return null;
    const health = await serveHealth(this.#options.health, () => this.#hindrances());
    this.#log.info({ url: health.url }, 'health is served');
    return health;
  }

  #hindrances(): string[] {
    if (this.#storeOutage.down) return ['the goal store does not answer'];
    if (!this.#lease.fence()) return [];
    if (this.#refused) return [`ClusterChanged: ${this.#refused}`];
    return this.#clusterReady ? [] : ['the cluster does not answer'];
  }
}
