import type { Goal } from '../job/goal.ts';
import { type ClusterId, type JobId, type Shard, type StoreId, shardOf } from '../job/ids.ts';
import { cellNamespace } from '../plan/names.ts';
import type { ClusterError } from '../ports/cluster.ts';
import { errorFields, type Log } from '../ports/log.ts';
import type { Fence } from '../ports/shards.ts';
import { NO_SIGNALS, type ReconcileSignals, type Turn } from '../ports/signals.ts';
import {
  type Brake,
  type ChangeReader,
  type GoalCatalog,
  type GoalReader,
  StoreError,
  type TurnRecorder,
} from '../ports/store.ts';
import { CellTenants } from './cell-tenants.ts';
import type { GoalFeed } from './goal-feed.ts';
import { HeardEdits } from './heard-edits.ts';
import type { TakenIn } from './intake.ts';
import { Orphans } from './orphans.ts';
import { type HintPriority, KeyQueue, type Priority, type QueueLoad } from './queue.ts';
import { type CellView, type ReconcileResult, reconcile } from './reconciler.ts';
import { RunningWork } from './running-work.ts';
import { nextOf, type Shown, type StreamJobSide } from './stream-job-side.ts';
import { TurnArchive } from './turn-archive.ts';

/** Jobs worked on at the same time, beside those that hang, unless told otherwise: enough to keep an API server busy. */
export const CONCURRENCY = 16;

export interface ControllerDeps {
  readonly storeId: StoreId;
  readonly feed: Pick<GoalFeed, 'load'>;
  readonly store: TurnRecorder &
    Pick<Brake, 'reserveRemoval'> &
    Pick<GoalReader, 'heads'> &
    Pick<GoalCatalog, 'knows'> &
    Pick<ChangeReader, 'jobsOf'>;
  readonly log: Log;
  readonly signals?: ReconcileSignals;
  /** Jobs worked on at the same time, beside those that hang; left out: {@link CONCURRENCY}. */
  readonly concurrency?: number;
  /** The current proof of ownership of a shard; null means: write nothing for its jobs. */
  readonly fence: (shard: Shard) => Fence | null;
  /** The store says that this fence is outdated. */
  readonly onFenced: (fence: Fence) => void;
  /** The cluster refused a write under this fence: it may be outdated. */
  readonly onRefused: (fence: Fence) => void;
  /** The store does not answer: said once for all jobs. */
  readonly onStoreTrouble: (error: StoreError) => void;
  /** The API server does not take our credentials any more: a matter of the connection, not of a job. */
  readonly onUnauthorized: (error: ClusterError) => void;
}

/** What the controller acts on while it is active. */
export interface ActiveCluster {
  readonly clusterId: ClusterId;
  readonly cell: CellView;
  /** Ids of the jobs that have something in the cluster, whatever the store knows of them. */
  readonly jobsSeen: () => Iterable<JobId>;
  /** Left out where the cluster's StreamJobs are nobody's business. */
  readonly streamJobs?: StreamJobSide;
}

/**
 * Turns hints into reconciles: a queue of keys, a bounded number of workers, and what is needed to wake the right jobs.
 * It acts for the shards between {@link activate} and {@link deactivate}; for all other jobs it touches nothing.
 */
export class Controller {
  /** As in its dependencies. */
  readonly concurrency: number;
  readonly #deps: ControllerDeps;
  readonly #signals: ReconcileSignals;
  readonly #queue: KeyQueue<JobId>;
  readonly #work = new RunningWork();
  readonly #archive: TurnArchive;
  readonly #shards = new Set<Shard>();
  readonly #heard = new HeardEdits();
  readonly #tenants = new CellTenants();
  readonly #braked = new Set<JobId>();
  readonly #orphans: Orphans;
  #cluster: ActiveCluster | null = null;

  constructor(deps: ControllerDeps) {
    this.#deps = deps;
    this.#signals = deps.signals ?? NO_SIGNALS;
    this.concurrency = deps.concurrency ?? CONCURRENCY;
    this.#archive = new TurnArchive(deps.store);
    this.#orphans = new Orphans(deps.store, deps.log);
    this.#queue = new KeyQueue<JobId>({
      onReady: () => this.#pump(),
      concurrency: this.concurrency,
      signals: this.#signals.queue,
    });
  }

  /** What waits for a turn, and the turns in hand. */
  get load(): QueueLoad {
    return this.#queue.load;
  }

  /** Those that it acts for. */
  get shards(): ReadonlySet<Shard> {
    return this.#shards;
  }

  /** Begins to act for these shards, and looks at each of their jobs: first at what was edited lately. @throws StoreError */
  async activate(cluster: ActiveCluster, shards: readonly Shard[]): Promise<void> {
    this.#cluster = cluster;
    // First active, then read: what changes in between is woken, not missed.
    for (const shard of shards) this.#shards.add(shard);
    const wanted = new Set(shards);
    const isWanted = (id: JobId) => wanted.has(shardOf(id));
    for (const id of this.#heard.take(isWanted)) this.wake(id);
    await this.#wakeAll(shards);
    for (const id of cluster.jobsSeen()) if (isWanted(id)) this.#wakeAs('backlog', id);
  }

  /** Stops to act for these shards, or for all; reconciles in hand stop before their next write. */
  deactivate(shards?: readonly Shard[]): void {
    const leaving = shards ?? [...this.#shards];
    for (const shard of leaving) this.#shards.delete(shard);
    const isInactive = (id: JobId) => !this.#shards.has(shardOf(id));
    this.#queue.drop(isInactive);
    for (const id of [...this.#braked].filter(isInactive)) this.#braked.delete(id);
    this.#tenants.drop(isInactive);
    if (this.#shards.size === 0) this.#cluster = null;
  }

  /** Somebody has edited this job, or may have. */
  wake(id: JobId): void {
    if (this.#acts(id)) this.#queue.add(id, 'edit');
    else this.#heard.add(id);
  }

  /** Looks at every job again. @throws StoreError */
  async wakeEverything(): Promise<void> {
    await this.#wakeAll([...this.#shards]);
  }

  /** What the platform says to a tenant (null: to all) has changed. @throws StoreError */
  async wakeTenant(tenant: string | null): Promise<void> {
    if (this.#shards.size === 0) return;
    const priority = tenant === null ? 'backlog' : 'repair';
    for (const id of await this.#deps.store.jobsOf(tenant, [...this.#shards])) this.#wakeAs(priority, id);
  }

  /** Something happened around this job. @param priority `backlog` for what is no drift, such as workers that become ready */
  hint(id: JobId, priority?: HintPriority): void {
    if (this.#acts(id)) this.#queue.hint(id, priority);
  }

  /** The brake may have been released. */
  wakeBraked(): void {
    for (const id of this.#braked) this.#wakeAs('repair', id);
  }

  /** Something changed in this namespace; `priority` as for {@link hint}. */
  wakeNamespace(namespace: string, labelledJob: JobId | null, priority?: HintPriority): void {
    const jobs = new Set(this.#tenants.of(namespace));
    if (labelledJob) jobs.add(labelledJob);
    for (const id of jobs) this.hint(id, priority);
  }

  /** Resolves when no reconcile of these shards, or of any, is in hand. */
  async drained(shards?: readonly Shard[]): Promise<void> {
    await this.#work.drained(shards);
  }

  #acts(id: JobId): boolean {
    return this.#cluster !== null && this.#shards.has(shardOf(id));
  }

  #wakeAs(priority: Priority, id: JobId): void {
    if (this.#acts(id)) this.#queue.add(id, priority);
  }

  async #wakeAll(shards: readonly Shard[]): Promise<void> {
    if (shards.length === 0) return;
    for (const { jobId } of await this.#deps.store.heads(shards)) this.#wakeAs('backlog', jobId);
  }

  #pump(): void {
    const cluster = this.#cluster;
    if (!cluster) return;
    for (let id = this.#queue.take(); id; id = this.#queue.take()) this.#begin(id, cluster);
  }

  #begin(id: JobId, cluster: ActiveCluster): void {
    void this.#work
      .during(shardOf(id), () => this.#turn(id, cluster))
      .finally(() => {
        this.#queue.done(id);
        this.#pump();
      });
  }

  async #turn(id: JobId, cluster: ActiveCluster): Promise<void> {
    const shard = shardOf(id);
    const fence = () => (this.#cluster === cluster && this.#shards.has(shard) ? this.#deps.fence(shard) : null);
    const turn = this.#signals.startTurn(id);
    try {
      const loaded = await turn.step('load', () => this.#deps.feed.load(id));
      if (!loaded) return await this.#missing(id, cluster, fence);
      const { previous } = loaded;
      const reload = async () => (await this.#deps.feed.load(id))?.goal ?? null;
      const taken = (await cluster.streamJobs?.takeIn(loaded.goal, fence, reload)) ?? null;
      const { goal } = taken ?? loaded;
      turn.loaded(goal, fence());
      this.#remember(goal);
      const result = await reconcile({
        storeId: this.#deps.storeId,
        clusterId: cluster.clusterId,
        goal,
        previous,
        cell: cluster.cell,
        fence,
        reserveRemoval: (current) => this.#deps.store.reserveRemoval(current, id, goal.revision),
        keepers: taken?.keepers ?? [],
        now: Date.now,
        turn,
      });
      if (result.connectionError?.kind === 'unauthorized') this.#deps.onUnauthorized(result.connectionError);
      // What a connection that we closed ourselves says of a job is not true of the job; what was done is.
      const isTrue = !(result.connectionError && this.#cluster !== cluster);
      // Also what ended after a stop is recorded, as long as the shard is ours.
      const told = isTrue ? result : { ...result, changed: false, events: result.done };
      const events = [...(taken?.events ?? []), ...told.events];
      turn.concluded(told);
      await turn.step('record', () => this.#archive.record(id, { ...told, events }, this.#deps.fence(shard)));
      if (result.refused) this.#deps.onRefused(result.refused);
      const shown = { goal, status: result.status, events: events.filter((event) => !result.done.includes(event)) };
      const unshown =
        taken && isTrue ? await turn.step('publish', () => this.#show(cluster, shown, taken, fence())) : null;
      if (unshown) turn.failed(unshown);
      const next = nextOf(result.next, taken, unshown, Date.now());
      if (fence()) this.#schedule(goal, { ...result, next });
    } catch (error) {
      turn.failed(error);
      this.#failed(id, error, fence(), turn);
    } finally {
      turn.end();
    }
  }

  async #show(cluster: ActiveCluster, shown: Shown, taken: TakenIn, fence: Fence | null): Promise<ClusterError | null> {
    if (!fence || !cluster.streamJobs) return null;
    const failure = (await cluster.streamJobs.show(shown, taken, fence)) ?? taken.failure;
    if (failure?.kind === 'fenced') this.#deps.onRefused(fence);
    if (failure?.kind === 'unauthorized') this.#deps.onUnauthorized(failure);
    return failure;
  }

  #schedule(goal: Goal, result: ReconcileResult): void {
    const { next } = result;
    const { id } = goal.job;
    if (result.status.phase === 'Gone') this.#forget(goal);
    if (result.braked) this.#braked.add(id);
    else this.#braked.delete(id);
    if (next.kind === 'retry') this.#queue.retry(id, next.afterMs);
    else if (result.wrote) this.#queue.slowDown(id);
    else this.#queue.succeeded(id);
    if (next.kind === 'at') this.#queue.addAfter(id, Math.max(0, next.time - Date.now()));
  }

  #failed(id: JobId, error: unknown, fence: Fence | null, turn: Turn): void {
    if (error instanceof StoreError && error.kind === 'fenced') {
      if (fence) this.#deps.onFenced(fence);
      return;
    }
    if (!fence) return;
    const afterMs = this.#queue.retry(id);
    if (error instanceof StoreError && (error.kind === 'unavailable' || error.kind === 'configuration')) {
      this.#deps.onStoreTrouble(error);
      return;
    }
    this.#deps.log.error({ ...turn.fields, ...errorFields(error), afterMs }, 'a reconcile failed; it is tried again');
  }

  /** A job that the store shows no goal of is a StreamJob that is new, or else a cell that nobody asked for. */
  async #missing(id: JobId, { streamJobs }: ActiveCluster, fence: () => Fence | null): Promise<void> {
    const welcome = (await streamJobs?.welcome(id, fence)) ?? 'nobody';
    if (welcome === 'nobody') await this.#orphans.meet(id);
    // Whatever it has failed by before is over.
    this.#queue.succeeded(id);
    if (typeof welcome === 'object') this.wake(welcome.job);
  }

  #remember({ job }: Goal): void {
    this.#tenants.add(cellNamespace(this.#deps.storeId, job), job.id);
  }

  #forget({ job }: Goal): void {
    const others = this.#tenants.delete(cellNamespace(this.#deps.storeId, job), job.id);
    this.#queue.forget(job.id);
    for (const id of others) this.wake(id);
  }
}
