import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pRetry from 'p-retry';
import type { ClusterId, StoreId } from '../job/ids.ts';
import type { Settled } from '../plan/observation.ts';
import type { ClusterIdentity } from '../ports/cluster.ts';
import type { ClusterRegistry, Fence } from '../ports/store.ts';
import type { CellChange } from './cell-cache.ts';
import { admit, holdsOtherStores, identify, stillAnswers } from './identity.ts';
import { ClusterSession } from './session.ts';
import { readTarget, type TargetOptions } from './target.ts';
import { Transport } from './transport.ts';

const STAMP_EVERY_MS = 1_000;
const REFUSED_PAUSE_MS = 5_000;
const RECONNECT = { minTimeout: 250, maxTimeout: 2_000, factor: 2 } as const;

export interface KeeperOptions {
  readonly storeId: StoreId;
  readonly target: TargetOptions;
  readonly registry: ClusterRegistry;
  /** A cluster that a person accepted with --accept-cluster. */
  readonly accepted: ClusterId | null;
}

export interface KeeperHandlers {
  /** The cluster is ours and completely listed. */
  readonly onReady: (session: ClusterSession, identity: ClusterIdentity) => Promise<void>;
  readonly onLost: (error: unknown) => void;
  /** It is another cluster than the jobs', and nothing may be written to it until a person decides. */
  readonly onRefused: (identity: ClusterIdentity, why: string) => Promise<void>;
  readonly onAdopted: (identity: ClusterIdentity, why: string) => void;
  readonly onChange: (change: CellChange) => void;
}

interface Connection {
  readonly transport: Transport;
  readonly identity: ClusterIdentity;
  readonly stamp: string;
}

/**
 * Keeps one connection to one cluster: connects, makes sure which cluster it is, watches, and starts anew when the
 * cluster is lost, when it is replaced, and when the kubeconfig changes. All of that without a restart of ours.
 */
export class ClusterKeeper {
  readonly #options: KeeperOptions;
  readonly #handlers: KeeperHandlers;
  readonly #settled = new Map<string, Settled>();

  constructor(options: KeeperOptions, handlers: KeeperHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  /** Runs until `signal` aborts. */
  async run(fence: Fence, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const connection = await this.#connect(signal);
        if (await this.#admitted(connection, fence)) await this.#watch(connection, signal);
        else await this.#pause(connection, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#handlers.onLost(error);
        await sleep(RECONNECT.minTimeout, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #connect(signal: AbortSignal): Promise<Connection> {
    const attempt = async (): Promise<Connection> => {
      const stamp = configStamp(this.#options.target);
      const transport = new Transport(await readTarget(this.#options.target));
      try {
        return { transport, identity: await identify(transport), stamp };
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
  async #admitted({ transport, identity }: Connection, fence: Fence): Promise<boolean> {
    const { registry, storeId, accepted } = this.#options;
    const known = await registry.currentCluster();
    const admission = await admit({
      known,
      found: identity,
      accepted,
      oldAnswers: async () => (known ? stillAnswers(known) : false),
      otherStores: () => holdsOtherStores(transport, storeId),
    });
    if (admission.kind === 'refuse') {
      await this.#handlers.onRefused(identity, admission.why);
      return false;
    }
    if (admission.kind === 'adopt') {
      this.#settled.clear();
      this.#handlers.onAdopted(identity, admission.why);
    }
    const moved = known?.server !== identity.server || known.caCertificate !== identity.caCertificate;
    if (admission.kind === 'adopt' || moved) await registry.recordCluster(fence, identity);
    return true;
  }

  async #watch({ transport, identity, stamp }: Connection, signal: AbortSignal): Promise<void> {
    const { storeId } = this.#options;
    const session = new ClusterSession(transport, {
      storeId,
      settled: this.#settled,
      onChange: this.#handlers.onChange,
    });
    const over = new AbortController();
    const stop = () => void session.stop();
    signal.addEventListener('abort', stop, { once: true });
    const configWatch = this.#untilConfigChanges(transport.target.fingerprint, stamp, over.signal).then(stop);
    let failed: unknown = null;
    try {
      await session.run(() => {
        this.#handlers.onReady(session, identity).catch((error: unknown) => {
          failed = error;
          stop();
        });
      });
      if (!signal.aborted) this.#handlers.onLost(failed ?? new Error('the kubeconfig changed'));
    } finally {
      signal.removeEventListener('abort', stop);
      over.abort();
      await configWatch;
    }
  }

  /** Resolves when the kubeconfig names another address or other credentials, or when `signal` aborts. */
  async #untilConfigChanges(fingerprint: string, from: string, signal: AbortSignal): Promise<void> {
    let stamp = from;
    while (!signal.aborted) {
      await sleep(STAMP_EVERY_MS, undefined, { signal }).catch(() => undefined);
      const current = configStamp(this.#options.target);
      if (current === stamp) continue;
      stamp = current;
      try {
        if ((await readTarget(this.#options.target)).fingerprint !== fingerprint) return;
      } catch {
        // Half-written or without our context for the moment: while the connection holds, it is good enough.
      }
    }
  }

  async #pause({ transport }: Connection, signal: AbortSignal): Promise<void> {
    await transport.close();
    await sleep(REFUSED_PAUSE_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Changes when a file that the credentials come from is written; costs a few stat calls. */
function configStamp({ kubeconfig }: TargetOptions): string {
  const files = kubeconfig
    ? [kubeconfig]
    : (process.env.KUBECONFIG?.split(delimiter) ?? [join(homedir(), '.kube', 'config')]);
  return files
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat ? `${stat.ino}:${stat.size}:${stat.mtimeMs}` : 'none';
    })
    .join('|');
}
