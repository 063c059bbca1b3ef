import { setTimeout as sleep } from 'node:timers/promises';
import { missingFields } from '../crd/missing.ts';
import { type JobId, type JobName, parseJobId, type StoreId } from '../job/ids.ts';
import { API_VERSION, KIND } from '../job/spec.ts';
import type { DefinitionState } from '../plan/intake.ts';
import { MANAGER } from '../plan/objects.ts';
import {
  type Home,
  isOthers,
  type ObservedStreamJob,
  type StreamJobAction,
  type StreamJobEvent,
  statusJob,
} from '../plan/stream-job.ts';
import { ClusterError } from '../ports/cluster.ts';
import type { Fence } from '../ports/shards.ts';
import type { StreamJobs } from '../ports/stream-jobs.ts';
import { streamJobPath, streamJobsPath } from './paths.ts';
import { reflect } from './reflector.ts';
import { StreamJobCache } from './stream-job-cache.ts';
import { decodeStreamJob } from './stream-job-decode.ts';
import { homeOf, liveDefinition, stampsAuthors } from './stream-job-kind.ts';
import { StreamJobWrites } from './stream-job-writes.ts';
import type { Transport } from './transport.ts';

/** While the kind is not installed, or may not be read, it is looked for this often. */
const ABSENT_PAUSE_MS = 5_000;
/** A watch of a kind that is being deleted may never end and never tell: it is listed anew this often. */
const ENDING_PAUSE_MS = 2_000;
const UNSTAMPED_NOTE =
  'the cluster does not stamp who edits StreamJobs (policy bulkhead-author, which needs Kubernetes 1.36), so their authors are said to be unverified';
const OTHERS_NOTE =
  'belong to another store, whose finalizer they carry: its operator works on this cluster too, or was left behind; what is deleted of them waits for it';
/** People decide how large they are, up to 1.5 MB each. */
const PAGE_SIZE = 50;
const NOTE_MAX = 1_024;

export interface StreamJobsOptions {
  readonly storeId: StoreId;
  /** The namespaces to look in; null for all. */
  readonly namespaces: readonly string[] | null;
  readonly onChange: (key: JobId) => void;
  /** The kind has come (back): every job has to be looked at. */
  readonly onAvailable: () => void;
}

/** The StreamJobs of one cluster: a watch that outlives the coming and going of their kind, and the writes to them. */
export class KubernetesStreamJobs implements StreamJobs {
  readonly #cache: StreamJobCache;
  readonly #transport: Transport;
  readonly #options: StreamJobsOptions;
  readonly #writes: StreamJobWrites;
  #pending: Set<string | null>;
  #authorsAreStamped = false;
  #absent: string | null = 'they have not been listed yet';
  /** The kind is being deleted, with all its objects. */
  #isEnding = false;
  /** Namespaces of ours that we may not look into. */
  readonly #hidden = new Set<string>();
  #round = new AbortController();
  #drops: readonly string[] = [];
  #hasDropped = false;

  constructor(transport: Transport, options: StreamJobsOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#writes = new StreamJobWrites(transport, options.storeId);
    this.#cache = new StreamJobCache((object) => {
      const key = this.#keyOf(object);
      if (key) options.onChange(key);
    });
    this.#pending = new Set(this.#scopes);
  }

  sees(tenant: string): boolean {
    const { namespaces } = this.#options;
    const isServed = namespaces === null || (namespaces.includes(tenant) && !this.#hidden.has(tenant));
    return this.#absent === null && isServed;
  }

  /** Proved anew for each edit, of which there are few: a policy can be taken away, and one API server can lag. */
  async stampsAuthors(): Promise<boolean> {
    try {
      this.#authorsAreStamped = await stampsAuthors(this.#transport);
    } catch (error) {
      // Names that cannot be proved are said to be unverified; a connection that is lost shows itself elsewhere.
      if (!(error instanceof ClusterError)) throw error;
      this.#authorsAreStamped = false;
    }
    return this.#authorsAreStamped;
  }

  /** What is worth to be said of them though nothing is broken. */
  get notes(): string[] {
    if (this.#absent !== null) return [this.#absent];
    const others = [...this.#cache.all()].filter((object) => isOthers(object, this.#options.storeId)).length;
    return [
      ...(others > 0 ? [`${others} StreamJobs ${OTHERS_NOTE}`] : []),
      ...(this.#authorsAreStamped ? [] : [UNSTAMPED_NOTE]),
    ];
  }

  get definition(): DefinitionState {
    return { drops: this.#drops, hasDropped: this.#hasDropped };
  }

  /** What is wrong with how they are installed; null when nothing is. */
  get hindrance(): string | null {
    if (this.#drops.length === 0) return null;
    return `the CustomResourceDefinition in the cluster is older than this operator and drops ${this.#drops.join(', ')}; apply the one of this version: kubectl apply --server-side -f install.yaml`;
  }

  of(job: JobName): ObservedStreamJob | null {
    return this.#cache.of(job);
  }

  withUid(uid: string): ObservedStreamJob | null {
    return this.#cache.withUid(uid);
  }

  ofStatus(job: JobId): ObservedStreamJob | null {
    return this.#cache.ofStatus(job);
  }

  /** Of every object the job that it is of; before there is one, its UID stands for it. */
  keys(): JobId[] {
    return [...this.#cache.all()].flatMap((object) => this.#keyOf(object) ?? []);
  }

  /** Keys of the objects of a tenant (null: of all) that led to no job: a limit that refused them may have gone. */
  newcomers(tenant: string | null): JobId[] {
    const { storeId } = this.#options;
    return [...this.#cache.all()]
      .filter(({ job }) => tenant === null || job.tenant === tenant)
      .flatMap((object) => (statusJob(object, storeId) === null ? (parseJobId(object.uid) ?? []) : []));
  }

  #keyOf(object: ObservedStreamJob): JobId | null {
    return statusJob(object, this.#options.storeId) ?? parseJobId(object.uid);
  }

  async home(tenant: string): Promise<Home> {
    const home = await homeOf(this.#transport, tenant);
    if (home === 'kind terminating' && !this.#isEnding) this.#ends();
    return home;
  }

  async execute(action: StreamJobAction, fence: Fence): Promise<ObservedStreamJob | null> {
    try {
      const answer = await this.#writes.execute(action, fence);
      if (answer !== null && action.do !== 'release') {
        const object = decodeStreamJob(answer);
        this.#cache.recordWrite(object);
        return object;
      }
      if (action.do === 'discard' || action.do === 'release') this.#cache.drop(action.object);
      return null;
    } catch (error) {
      if (!(error instanceof ClusterError) || action.do === 'makeNamespace') throw error;
      if (error.kind === 'conflict' || (error.kind === 'gone' && action.do !== 'create')) await this.#refresh(action);
      throw error;
    }
  }

  async tell(object: ObservedStreamJob, { type, reason, message }: StreamJobEvent): Promise<void> {
    const { tenant: namespace, name } = object.job;
    const note = message.length > NOTE_MAX ? `${message.slice(0, NOTE_MAX - 1)}…` : message;
    const body = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { generateName: `${name}-`, namespace },
      regarding: { apiVersion: API_VERSION, kind: KIND, namespace, name, uid: object.uid },
      type,
      reason,
      note,
      action: reason,
      reportingController: 'bulkhead.dev/operator',
      reportingInstance: MANAGER,
      eventTime: new Date().toISOString().replace('Z', '000Z'),
    };
    await this.#transport.call('POST', `/apis/events.k8s.io/v1/namespaces/${namespace}/events`, { body });
  }

  /**
   * Watches until `signal` aborts. `onSettled` is called once, when it is known whether there are any.
   * @throws ClusterError when the API server could not be reached several times in a row
   */
  async run(onSettled: () => void, signal: AbortSignal): Promise<void> {
    let isSettled = false;
    const settled = () => {
      if (!isSettled) onSettled();
      isSettled = true;
    };
    await Promise.all(this.#scopes.map((namespace) => this.#watch(namespace, settled, signal)));
  }

  get #scopes(): readonly (string | null)[] {
    return this.#options.namespaces ?? [null];
  }

  async #watch(namespace: string | null, settled: () => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const round = AbortSignal.any([signal, this.#round.signal]);
      try {
        const path = streamJobsPath(namespace);
        const source = { path, labelSelector: '', pageSize: PAGE_SIZE, sink: this.#cache.sink(namespace) };
        const onSynced = () => void this.#shown(namespace, settled);
        await reflect(this.#transport, { ...source, onSynced }, round);
      } catch (error) {
        if (!(error instanceof ClusterError) || (error.kind !== 'gone' && error.kind !== 'forbidden')) throw error;
        if (error.kind === 'forbidden' && namespace !== null) await this.#hide(namespace, settled);
        else {
          this.#lost(namespace, error);
          settled();
        }
        await sleep(ABSENT_PAUSE_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #shown(namespace: string | null, settled: () => void): Promise<void> {
    const isBack = namespace !== null && this.#hidden.delete(namespace);
    await this.#listed(namespace, settled);
    if (isBack && this.#absent === null) this.#options.onAvailable();
  }

  /** The others go on without it. */
  async #hide(namespace: string, settled: () => void): Promise<void> {
    this.#hidden.add(namespace);
    this.#cache.clear(namespace);
    await this.#listed(namespace, settled);
  }

  async #listed(namespace: string | null, settled: () => void): Promise<void> {
    if (!this.#pending.delete(namespace) || this.#pending.size > 0) return;
    const isNew = this.#absent !== null || this.#isEnding;
    await this.#inspect();
    this.#absent = null;
    settled();
    if (isNew && !this.#isEnding) this.#options.onAvailable();
  }

  /** Lists anew in a while, and again until the kind is gone or made anew. */
  #ends(): void {
    this.#isEnding = true;
    setTimeout(() => {
      this.#pending = new Set(this.#scopes);
      const ended = this.#round;
      this.#round = new AbortController();
      ended.abort();
    }, ENDING_PAUSE_MS).unref();
  }

  /** How the kind is installed: said, and never in the way of the jobs. */
  async #inspect(): Promise<void> {
    try {
      const { definition, isEnding } = await liveDefinition(this.#transport);
      this.#isEnding = false;
      if (isEnding) return this.#ends();
      this.#drops = definition === null ? [] : missingFields(definition);
      this.#hasDropped ||= this.#drops.length > 0;
    } catch (error) {
      // A connection that is lost shows itself elsewhere; the next list inspects again.
      if (!(error instanceof ClusterError)) throw error;
    }
    await this.stampsAuthors();
  }

  #lost(namespace: string | null, error: ClusterError): void {
    this.#pending.add(namespace);
    this.#isEnding = false;
    this.#drops = [];
    this.#authorsAreStamped = false;
    this.#absent =
      error.kind === 'gone'
        ? 'StreamJobs are not installed in the cluster, so kubectl is no way in; to install them: kubectl apply --server-side -f install.yaml'
        : `StreamJobs may not be read, so kubectl is no way in: ${error.message}`;
    this.#cache.clear(null);
  }

  async #refresh(action: Exclude<StreamJobAction, { do: 'makeNamespace' }>): Promise<void> {
    const job = action.do === 'create' ? action.job : action.object.job;
    try {
      this.#cache.put(decodeStreamJob(await this.#transport.call('GET', streamJobPath(job))));
    } catch (error) {
      if (!(error instanceof ClusterError) || error.kind !== 'gone') throw error;
      const known = this.#cache.of(job);
      if (known) this.#cache.drop(known);
    }
  }
}
