import type { StoreId } from '../job/ids.ts';
import { CELL_KIND_NAMES, LABELS, MANAGER } from '../plan/objects.ts';
import type { Settled } from '../plan/observation.ts';
import { CellCache, type CellChange } from './cell-cache.ts';
import { KubernetesExecutor } from './executor.ts';
import { collectionPath } from './paths.ts';
import { type ReflectorOptions, reflect } from './reflector.ts';
import { KubernetesStreamJobs, type StreamJobsOptions } from './stream-jobs.ts';
import type { Transport } from './transport.ts';

const PODS_PATH = '/api/v1/pods';
const STREAM_JOBS = 'StreamJobs';

export interface SessionOptions {
  readonly storeId: StoreId;
  readonly settled: Map<string, Settled>;
  readonly onChange: (change: CellChange) => void;
  readonly streamJobs: Pick<StreamJobsOptions, 'onChange' | 'onAvailable'>;
}

/**
 * One unbroken view of one cluster: a cache that watches keep up to date, and an executor. It lives until the API server
 * can no longer be reached; a new connection starts a new session with new lists, so that nothing missed in between
 * stays missed.
 */
export class ClusterSession {
  readonly cache: CellCache;
  readonly executor: KubernetesExecutor;
  readonly streamJobs: KubernetesStreamJobs;
  readonly transport: Transport;
  readonly #storeId: StoreId;
  readonly #abort = new AbortController();
  #endedBy: unknown = null;

  constructor(transport: Transport, options: SessionOptions) {
    this.transport = transport;
    this.#storeId = options.storeId;
    this.cache = new CellCache(options.settled, options.onChange);
    this.executor = new KubernetesExecutor(transport);
    const { storeId, streamJobs } = options;
    this.streamJobs = new KubernetesStreamJobs(transport, { storeId, namespaces: null, ...streamJobs });
  }

  /**
   * Watches until {@link end} or until the cluster is lost. `onSynced` is called once, when every kind of a cell has been
   * listed, and StreamJobs too or it is known that there are none.
   * @throws ClusterError when the cluster is lost; what {@link end} was given
   */
  async run(onSynced: () => void): Promise<void> {
    const sources = [
      ...CELL_KIND_NAMES.map((kind) => ({ path: collectionPath(kind), sink: this.cache.sinkFor(kind) })),
      { path: PODS_PATH, sink: this.cache.podSink() },
    ];
    const pending = new Set([...sources.map((source) => source.path), STREAM_JOBS]);
    const settle = (source: string) => {
      if (pending.delete(source) && pending.size === 0) onSynced();
    };
    const labelSelector = `${LABELS.managedBy}=${MANAGER},${LABELS.store}=${this.#storeId}`;
    const watchOne = (source: Pick<ReflectorOptions, 'path' | 'sink'>) =>
      reflect(
        this.transport,
        {
          ...source,
          labelSelector,
          onSynced: () => settle(source.path),
        },
        this.#abort.signal,
      );
    try {
      const streamJobs = this.streamJobs.run(() => settle(STREAM_JOBS), this.#abort.signal);
      await Promise.all([...sources.map(watchOne), streamJobs]);
    } finally {
      this.#abort.abort();
      await this.transport.close();
    }
    if (this.#endedBy !== null) throw this.#endedBy;
  }

  /** Ends {@link run}. @param because what it throws then; null for an end in good order */
  end(because: unknown): void {
    this.#endedBy ??= because;
    this.#abort.abort();
  }
}
