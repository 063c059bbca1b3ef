import { setTimeout as sleep } from 'node:timers/promises';
import pRetry from 'p-retry';
import type { ClusterId, JobId, StoreId } from '../job/ids.ts';
import type { Settled } from '../plan/observation.ts';
import type { ClusterIdentity } from '../ports/cluster.ts';
import type { Fence } from '../ports/shards.ts';
import type { CallSignals } from '../ports/signals.ts';
import type { ClusterRegistry, KnownCluster } from '../ports/store.ts';
import type { CellChange } from './cell-cache.ts';
import { FormerClusterWatch } from './former-cluster.ts';
import { admit, askReplicas, holdsOtherStores, identify, isInPod, probeCluster } from './identity.ts';
import { ClusterSession } from './session.ts';
import { readTarget, type TargetOptions } from './target.ts';
import { untilTargetChanges } from './target-watch.ts';
import { Transport } from './transport.ts';

const REFUSED_PAUSE_MS = 5_000;
const UNDECIDED_PAUSE_MS = 500;
/** A session that held for this long was a sound one. */
const SOUND_MS = 10_000;
const MAX_PAUSE_MS = 5_000;
const RECONNECT = { minTimeout: 250, maxTimeout: 2_000, factor: 2 } as const;

export interface KeeperOptions {
  readonly storeId: StoreId;
  readonly target: TargetOptions;
  /** The namespaces to work in; left out for all of them. */
  readonly namespaces?: readonly string[];
  readonly registry: ClusterRegistry;
  /** The fence of shard 0, whose owner speaks for the store; null while that is another replica. */
  readonly speaker: () => Fence | null;
  /** How many living replicas are connected to a cluster. @throws StoreError */
  readonly replicasOf: (cluster: ClusterId) => Promise<number>;
  /** Hears of every call to the API server. */
  readonly calls?: CallSignals;
}

export interface KeeperHandlers {
  /** The cluster is ours and completely listed. */
  readonly onReady: (session: ClusterSession, identity: ClusterIdentity) => Promise<void>;
  readonly onLost: (error: unknown) => void;
  /** The session is about to be closed by us: resolves when no action is in hand any more. */
  readonly beforeClose: () => Promise<void>;
  /** It is another cluster than the jobs', and nothing may be written to it until a person decides. */
  readonly onRefused: (identity: ClusterIdentity, why: string) => Promise<void>;
  /** The cluster is new and not taken in yet; `why` says what that waits for. Nothing is written to it until then. */
  readonly onUndecided: (identity: ClusterIdentity, why: string) => void;
  readonly onAdopted: (identity: ClusterIdentity, why: string) => void;
  readonly onChange: (change: CellChange) => void;
  /** A StreamJob is not as it was: the job that it is of, or before there is one its UID. */
  readonly onStreamJob: (key: JobId) => void;
  /** StreamJobs have come (back): every job has to be looked at. */
  readonly onStreamJobs: () => void;
}

/** `undecided`: what the new cluster waits for passes by itself, so it is looked at again soon. */
type Decision = 'admitted' | 'refused' | 'undecided';

/** The same cluster under another address: what a probe of it will need one day. */
const hasMoved = (known: KnownCluster | null, found: ClusterIdentity): boolean =>
  known?.server !== found.server ||
  known.caCertificate !== found.caCertificate ||
  known.contextName !== found.contextName;

interface Connection {
  readonly transport: Transport;
  readonly identity: ClusterIdentity;
}

/**
 * Keeps one connection to one cluster: connects, makes sure which cluster it is, watches, and starts anew when the
 * cluster is lost, when it is replaced, and when the kubeconfig changes. All of that without a restart of ours.
 */
export class ClusterKeeper {
  readonly #options: KeeperOptions;
  readonly #handlers: KeeperHandlers;
  readonly #settled = new Map<string, Settled>();
  readonly #former: FormerClusterWatch;
  #readyAt: number | null = null;
  #hurry = new AbortController();

  constructor(options: KeeperOptions, handlers: KeeperHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#former = new FormerClusterWatch({ replicasOf: options.replicasOf });
  }

  /** Runs until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      this.#readyAt = null;
      this.#hurry = new AbortController();
      try {
        const connection = await this.#connect(signal);
        const decision = await this.#admitted(connection);
        if (decision === 'admitted') await this.#watch(connection, signal);
        else await this.#pause(decision === 'refused' ? REFUSED_PAUSE_MS : UNDECIDED_PAUSE_MS, signal);
        if (decision === 'undecided') continue;
      } catch (error) {
        if (signal.aborted) return;
        this.#handlers.onLost(error);
      }
      // Only a session that held for a while was a sound one: a server that lets us in and fails at once needs rest.
      failures = this.#readyAt !== null && performance.now() - this.#readyAt > SOUND_MS ? 0 : failures + 1;
      const pauseMs = Math.min(MAX_PAUSE_MS, RECONNECT.minTimeout * 2 ** failures);
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Shards were gained, maybe the one that speaks for the store: what waits for that is looked at again at once. */
  hurry(): void {
    this.#hurry.abort();
  }

  /** Ended early by {@link hurry}, and by `signal`. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    const either = AbortSignal.any([signal, this.#hurry.signal]);
    await sleep(ms, undefined, { signal: either }).catch(() => undefined);
  }

  async #connect(signal: AbortSignal): Promise<Connection> {
    const attempt = async (): Promise<Connection> => {
      const transport = new Transport(await readTarget(this.#options.target), this.#options.calls);
      try {
        return { transport, identity: await identify(transport) };
      } catch (error) {
        await transport.close();
        throw error;
      }
    };
    return pRetry(attempt, {
      ...RECONNECT,
      signal,
      retries: Number.POSITIVE_INFINITY,
      onFailedAttempt: ({ error }) => this.#handlers.onLost(error),
    });
  }

  /** Decides whether this cluster may be written to, and records a new one before anything is written. */
  async #admitted(connection: Connection): Promise<Decision> {
    let decision: Decision = 'refused';
    try {
      decision = await this.#decide(connection);
      return decision;
    } finally {
      if (decision !== 'admitted') await connection.transport.close();
    }
  }

  async #decide({ transport, identity }: Connection): Promise<Decision> {
    const { registry, storeId, speaker, namespaces = null } = this.#options;
    // A person's word counts once, whichever replica it was said to.
    const accepted = await registry.acceptedCluster();
    const known = await registry.currentCluster();
    const admission = await admit({
      known,
      found: identity,
      accepted,
      oldCluster: async () => {
        if (!known) return 'silent';
        return isInPod(known) ? askReplicas(this.#former, known, identity) : probeCluster(known);
      },
      otherStores: () => holdsOtherStores(transport, storeId, namespaces),
    });
    if (admission.kind === 'refuse') {
      await this.#handlers.onRefused(identity, admission.why);
      return 'refused';
    }
    if (admission.kind === 'wait') {
      this.#handlers.onUndecided(identity, admission.why);
      return 'undecided';
    }
    const fence = speaker();
    if (admission.kind === 'adopt') {
      if (!fence) {
        const why = `the replica that owns shard 0 has to take in cluster ${identity.id} first`;
        this.#handlers.onUndecided(identity, why);
        return 'undecided';
      }
      await registry.recordCluster(fence, identity);
      this.#settled.clear();
      this.#handlers.onAdopted(identity, admission.why);
    } else if (fence && hasMoved(known, identity)) await registry.recordCluster(fence, identity);
    return 'admitted';
  }

  async #watch({ transport, identity }: Connection, signal: AbortSignal): Promise<void> {
    const { storeId, target, namespaces = null } = this.#options;
    const { onChange, onReady, beforeClose, onStreamJob, onStreamJobs } = this.#handlers;
    const streamJobs = { onChange: onStreamJob, onAvailable: onStreamJobs };
    const session = new ClusterSession(transport, {
      storeId,
      namespaces,
      settled: this.#settled,
      onChange,
      streamJobs,
    });
    const over = new AbortController();
    const stop = () => session.end(null);
    signal.addEventListener('abort', stop, { once: true });
    const watchTarget = untilTargetChanges(target, transport.target, over.signal).then(async () => {
      if (over.signal.aborted) return;
      await beforeClose();
      session.end(new Error('the kubeconfig names another address or other credentials now'));
    });
    try {
      await session.run(() => {
        this.#readyAt = performance.now();
        onReady(session, identity).catch((error: unknown) => session.end(error));
      });
    } finally {
      signal.removeEventListener('abort', stop);
      over.abort();
      await watchTarget;
    }
  }
}
