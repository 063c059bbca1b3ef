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
  type JobEvent,
  StoreError,
  type TurnRecorder,
} from '../ports/store.ts';
import type { GoalFeed } from './goal-feed.ts';
import type { TakenIn } from './intake.ts';
import { KeyQueue, type QueueLoad } from './queue.ts';
import { type CellView, type ReconcileResult, reconcile } from './reconciler.ts';
import { RunningWork } from './running-work.ts';
import { nextOf, type Shown, type StreamJobSide } from './stream-job-side.ts';

/** Jobs worked on at the same time: enough to keep an API server busy. Failing ones may take half of the places. */
export const CONCURRENCY = 16;
const MAX_TROUBLED = CONCURRENCY / 2;

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
  readonly #deps: ControllerDeps;
  readonly #signals: ReconcileSignals;
  readonly #queue: KeyQueue<JobId>;
  readonly #work = new RunningWork();
  readonly #shards = new Set<Shard>();
  /** What was done but could not be recorded yet. */
  readonly #unrecorded = new Map<JobId, readonly JobEvent[]>();
  /** Whose cell a namespace is: several jobs while an earlier one of the same name still ends. */
  readonly #tenants = new Map<string, Set<JobId>>();
  readonly #braked = new Set<JobId>();
  readonly #orphans = new Set<string>();
  #cluster: ActiveCluster | null = null;

  constructor(deps: ControllerDeps) {
    this.#deps = deps;
    this.#signals = deps.signals ?? NO_SIGNALS;
    this.#queue = new KeyQueue<JobId>(() => this.#pump(), MAX_TROUBLED, this.#signals.queue);
  }

  /** What waits for a turn, and the turns in hand. */
  get load(): QueueLoad {
    return this.#queue.load;
  }

  /** Those that it acts for. */
  get shards(): ReadonlySet<Shard> {
    return this.#shards;
  }

  /** Begins to act for these shards, and looks at each of their jobs. @throws StoreError */
  async activate(cluster: ActiveCluster, shards: readonly Shard[]): Promise<void> {
    this.#cluster = cluster;
    // First active, then read: what changes in between is woken, not missed.
    for (const shard of shards) this.#shards.add(shard);
    await this.#wakeAll(shards);
    const wanted = new Set(shards);
    for (const id of cluster.jobsSeen()) if (wanted.has(shardOf(id))) this.wake(id);
  }

  /** Stops to act for these shards, or for all; reconciles in hand stop before their next write. */
  deactivate(shards?: readonly Shard[]): void {
    const leaving = shards ?? [...this.#shards];
    for (const shard of leaving) this.#shards.delete(shard);
    const isInactive = (id: JobId) => !this.#shards.has(shardOf(id));
    this.#queue.drop(isInactive);
    for (const id of [...this.#braked].filter(isInactive)) this.#braked.delete(id);
    for (const [namespace, jobs] of this.#tenants) {
      for (const id of [...jobs].filter(isInactive)) jobs.delete(id);
      if (jobs.size === 0) this.#tenants.delete(namespace);
    }
    if (this.#shards.size === 0) this.#cluster = null;
  }

  /** This job's goal may have changed. */
  wake(id: JobId): void {
    if (this.#acts(id)) this.#queue.add(id);
  }

  /** Looks at every job again. @throws StoreError */
  async wakeEverything(): Promise<void> {
    await this.#wakeAll([...this.#shards]);
  }

  /** What the platform says to a tenant (null: to all) has changed. @throws StoreError */
  async wakeTenant(tenant: string | null): Promise<void> {
    if (this.#shards.size === 0) return;
    for (const id of await this.#deps.store.jobsOf(tenant, [...this.#shards])) this.wake(id);
  }

  /** Something happened around this job. */
  hint(id: JobId): void {
    if (this.#acts(id)) this.#queue.hint(id);
  }

  /** The brake may have been released. */
  wakeBraked(): void {
    for (const id of this.#braked) this.wake(id);
  }

  /** Something changed in this namespace. */
  wakeNamespace(namespace: string, labelledJob: JobId | null): void {
    const jobs = new Set(this.#tenants.get(namespace));
    if (labelledJob) jobs.add(labelledJob);
    for (const id of jobs) if (this.#acts(id)) this.#queue.hint(id);
  }

  /** Resolves when no reconcile of these shards, or of any, is in hand. */
  async drained(shards?: readonly Shard[]): Promise<void> {
    await this.#work.drained(shards);
  }

  #acts(id: JobId): boolean {
    return this.#cluster !== null && this.#shards.has(shardOf(id));
  }

  async #wakeAll(shards: readonly Shard[]): Promise<void> {
    if (shards.length === 0) return;
    for (const { jobId } of await this.#deps.store.heads(shards)) this.wake(jobId);
  }

  #pump(): void {
    while (this.#cluster && this.#work.count < CONCURRENCY) {
      const id = this.#queue.take();
      if (!id) return;
      const cluster = this.#cluster;
      void this.#work
        .during(shardOf(id), () => this.#turn(id, cluster))
        .finally(() => {
          this.#queue.done(id);
          this.#pump();
        });
    }
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
      await turn.step('record', () => this.#save(id, { ...told, events }, this.#deps.fence(shard)));
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

  /** What cannot be recorded now is recorded with the job's next turn. */
  async #save(id: JobId, { changed, status, events: fresh }: ReconcileResult, fence: Fence | null): Promise<void> {
    const events = [...(this.#unrecorded.get(id) ?? []), ...fresh];
    if (!changed && events.length === 0) return;
    if (events.length > 0) this.#unrecorded.set(id, events);
    if (!fence) return;
    await this.#deps.store.record(fence, { status: changed ? status : null, events });
    this.#unrecorded.delete(id);
  }

  #schedule(goal: Goal, result: ReconcileResult): void {
    const { next } = result;
    const { id } = goal.job;
    if (result.status.phase === 'Gone') this.#forget(goal);
    if (result.braked) this.#braked.add(id);
    else this.#braked.delete(id);
    if (next.kind !== 'retry') {
      if (result.wrote) this.#queue.slowDown(id);
      else this.#queue.succeeded(id);
    }
    switch (next.kind) {
      case 'idle':
        return;
      case 'at':
        this.#queue.addAfter(id, Math.max(0, next.time - Date.now()));
        return;
      case 'retry':
        this.#queue.retry(id, next.afterMs);
    }
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

  /** A cell whose job the store has never heard of is reported and left alone. A read that came too short is done again. */
  async #missing(id: JobId, { streamJobs }: ActiveCluster, fence: () => Fence | null): Promise<void> {
    const welcome = (await streamJobs?.welcome(id, fence)) ?? 'nobody';
    if (welcome !== 'nobody') {
      this.#queue.succeeded(id);
      if (welcome !== 'done') this.wake(welcome.job);
      return;
    }
    if (this.#orphans.has(id)) return;
    if ((await this.#deps.store.knows([id])).has(id))
      throw new Error('the store knows the job and shows no goal of it');
    this.#orphans.add(id);
    this.#deps.log.warn({ jobId: id }, 'a cell without a goal is in the cluster; see: bulkhead orphans');
  }

  #remember(goal: Goal): void {
    const namespace = cellNamespace(this.#deps.storeId, goal.job);
    const jobs = this.#tenants.get(namespace) ?? new Set();
    this.#tenants.set(namespace, jobs.add(goal.job.id));
  }

  #forget(goal: Goal): void {
    const namespace = cellNamespace(this.#deps.storeId, goal.job);
    const others = this.#tenants.get(namespace) ?? new Set<JobId>();
    others.delete(goal.job.id);
    if (others.size === 0) this.#tenants.delete(namespace);
    this.#queue.forget(goal.job.id);
    for (const id of others) this.wake(id);
  }
}
