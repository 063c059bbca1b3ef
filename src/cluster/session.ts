import { setTimeout as sleep } from 'node:timers/promises';
import type { StoreId } from '../job/ids.ts';
import { ALL_NAMESPACES, type Capabilities } from '../plan/input.ts';
import { CELL_KIND_NAMES, LABELS, MANAGER, SHARED_KINDS } from '../plan/objects.ts';
import type { Settled } from '../plan/observation.ts';
import { ClusterError } from '../ports/cluster.ts';
import { CellCache, type CellChange } from './cell-cache.ts';
import { KubernetesExecutor } from './executor.ts';
import { collectionPath, podsPath } from './paths.ts';
import { type ReflectorSink, reflect } from './reflector.ts';
import { KubernetesStreamJobs, type StreamJobsOptions } from './stream-jobs.ts';
import type { Transport } from './transport.ts';

const STREAM_JOBS = 'StreamJobs';
/** A namespace that may not be looked into is tried again this often. */
const HIDDEN_PAUSE_MS = 5_000;

export interface SessionOptions {
  readonly storeId: StoreId;
  readonly settled: Map<string, Settled>;
  readonly onChange: (change: CellChange) => void;
  readonly streamJobs: Pick<StreamJobsOptions, 'onChange' | 'onAvailable'>;
  /** The namespaces to work in, each watched by itself; null for all of them, and for making more. */
  readonly namespaces: readonly string[] | null;
}

/** One collection that is listed and watched: in one namespace, or in all. */
interface Source {
  readonly path: string;
  readonly sink: ReflectorSink;
  readonly namespace: string | null;
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
  readonly #options: SessionOptions;
  /** What may not be listed though the API server answers. */
  readonly #hidden = new Set<Source>();
  readonly #abort = new AbortController();
  #endedBy: unknown = null;

  constructor(transport: Transport, options: SessionOptions) {
    this.transport = transport;
    this.#options = options;
    this.cache = new CellCache(options.settled, options.onChange);
    this.executor = new KubernetesExecutor(transport);
    const { storeId, namespaces, streamJobs } = options;
    this.streamJobs = new KubernetesStreamJobs(transport, { storeId, namespaces, ...streamJobs });
  }

  /** Where cells can be made now. A namespace that is not seen whole is left out: its jobs wait, the others' do not. */
  get capabilities(): Capabilities {
    const { namespaces } = this.#options;
    if (namespaces === null) return ALL_NAMESPACES;
    const hidden = new Set([...this.#hidden].map(({ namespace }) => namespace));
    return { namespaces: namespaces.filter((namespace) => !hidden.has(namespace)) };
  }

  /**
   * Watches until {@link end} or until the cluster is lost. `onSynced` is called once, when every kind of a cell has been
   * listed, and StreamJobs too or it is known that there are none.
   * @throws ClusterError when the cluster is lost; what {@link end} was given
   */
  async run(onSynced: () => void): Promise<void> {
    const sources = this.#sources();
    const pending = new Set<Source | typeof STREAM_JOBS>([...sources, STREAM_JOBS]);
    const settle = (source: Source | typeof STREAM_JOBS) => {
      if (pending.delete(source) && pending.size === 0) onSynced();
    };
    try {
      const streamJobs = this.streamJobs.run(() => settle(STREAM_JOBS), this.#abort.signal);
      await Promise.all([...sources.map((source) => this.#watch(source, () => settle(source))), streamJobs]);
    } finally {
      this.#abort.abort();
      await this.transport.close();
    }
    if (this.#endedBy !== null) throw this.#endedBy;
  }

  #sources(): Source[] {
    const { cache } = this;
    const within = (namespace: string | null): Source[] => [
      ...(namespace === null ? CELL_KIND_NAMES : SHARED_KINDS).map((kind) => ({
        path: collectionPath(kind, namespace),
        sink: cache.sinkFor(kind, namespace),
        namespace,
      })),
      { path: podsPath(namespace), sink: cache.podSink(namespace), namespace },
    ];
    return (this.#options.namespaces ?? [null]).flatMap(within);
  }

  /** Where one namespace of several may not be looked into, the others go on: it alone is tried again. */
  async #watch(source: Source, settle: () => void): Promise<void> {
    const { signal } = this.#abort;
    const { path, sink, namespace } = source;
    const labelSelector = `${LABELS.managedBy}=${MANAGER},${LABELS.store}=${this.#options.storeId}`;
    const onSynced = () => {
      this.#hidden.delete(source);
      settle();
    };
    while (!signal.aborted) {
      try {
        return await reflect(this.transport, { path, sink, labelSelector, onSynced }, signal);
      } catch (error) {
        if (namespace === null || !(error instanceof ClusterError) || error.kind !== 'forbidden') throw error;
        this.#hidden.add(source);
        settle();
        // An abort ends the pause, and then the loop.
        await sleep(HIDDEN_PAUSE_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** Ends {@link run}. @param because what it throws then; null for an end in good order */
  end(because: unknown): void {
    this.#endedBy ??= because;
    this.#abort.abort();
  }
}
