import type { Goal } from '../job/goal.ts';
import { type ClusterId, type JobId, jobName, type StoreId } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import { cellNamespace } from '../plan/names.ts';
import type { ClusterError } from '../ports/cluster.ts';
import { errorFields, type Log } from '../ports/log.ts';
import { type Fence, type JobEvent, type StatusStore, StoreError, type TurnRecorder } from '../ports/store.ts';
import type { GoalFeed } from './goal-feed.ts';
import { KeyQueue } from './queue.ts';
import { type CellView, type ReconcileResult, reconcile } from './reconciler.ts';

/** Jobs worked on at the same time: enough to keep an API server busy. Failing ones may take half of the places. */
const CONCURRENCY = 16;
const MAX_TROUBLED = CONCURRENCY / 2;

export interface ControllerDeps {
  readonly storeId: StoreId;
  readonly goals: GoalFeed;
  readonly statuses: StatusStore & TurnRecorder;
  readonly log: Log;
  /** The current proof of ownership; null means: write nothing. */
  readonly fence: () => Fence | null;
  /** The store says that the fence is outdated. */
  readonly onFenced: () => void;
  /** The store does not answer: said once for all jobs. */
  readonly onStoreTrouble: (error: StoreError) => void;
  /** The API server does not take our credentials any more: a matter of the connection, not of a job. */
  readonly onUnauthorized: (error: ClusterError) => void;
}

/** What the controller acts on while it is active. */
export interface ActiveCluster {
  readonly clusterId: ClusterId;
  readonly cell: CellView;
}

/**
 * Turns hints into reconciles: a queue of keys, a bounded number of workers, and what is needed to wake the right jobs.
 * It is active only between {@link activate} and {@link deactivate}; outside of that it touches nothing.
 */
export class Controller {
  readonly #deps: ControllerDeps;
  readonly #queue: KeyQueue<JobId>;
  readonly #previous = new Map<JobId, JobStatus>();
  /** What was done but could not be recorded yet. */
  readonly #unrecorded = new Map<JobId, readonly JobEvent[]>();
  /** Whose cell a namespace is: several jobs while an earlier one of the same name still ends. */
  readonly #tenants = new Map<string, Set<JobId>>();
  readonly #orphans = new Set<string>();
  #active: ActiveCluster | null = null;
  /** Grows with each start and stop, so that a start that took long does not undo a stop. */
  #era = 0;
  #running = 0;
  #idle: (() => void)[] = [];

  constructor(deps: ControllerDeps) {
    this.#deps = deps;
    this.#queue = new KeyQueue<JobId>(() => this.#pump(), MAX_TROUBLED);
  }

  /**
   * Starts to act. Reads what was last stored, so that an unchanged job's status is not written again.
   * @returns whether it acts now; false when {@link deactivate} came in between
   * @throws StoreError
   */
  async activate(cluster: ActiveCluster): Promise<boolean> {
    this.#era += 1;
    const era = this.#era;
    const stored = await this.#deps.statuses.statuses(await this.#deps.goals.ids());
    if (era !== this.#era) return false;
    this.#previous.clear();
    for (const { status } of stored) this.#previous.set(status.jobId, status);
    this.#active = cluster;
    this.#deps.goals.forget();
    await this.#deps.goals.resync();
    return era === this.#era;
  }

  /** Stops to act; reconciles in hand stop before their next write. */
  deactivate(): void {
    this.#era += 1;
    this.#active = null;
    this.#queue.clear();
    this.#tenants.clear();
  }

  /** This job's goal may have changed. */
  wake(id: JobId): void {
    if (this.#active) this.#queue.add(id);
  }

  /** Something changed in this namespace. */
  wakeNamespace(namespace: string, labelledJob: JobId | null): void {
    if (!this.#active) return;
    for (const id of this.#tenants.get(namespace) ?? []) this.#queue.hint(id);
    if (labelledJob) this.#queue.hint(labelledJob);
  }

  /** Resolves when no reconcile is in hand. */
  async drained(): Promise<void> {
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #pump(): void {
    while (this.#active && this.#running < CONCURRENCY) {
      const id = this.#queue.take();
      if (!id) return;
      this.#running += 1;
      void this.#work(id, this.#active).finally(() => {
        this.#running -= 1;
        this.#queue.done(id);
        if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
        this.#pump();
      });
    }
  }

  async #work(id: JobId, cluster: ActiveCluster): Promise<void> {
    try {
      const goal = await this.#deps.goals.load(id);
      if (!goal) return this.#orphan(id);
      this.#remember(goal);
      const result = await reconcile({
        storeId: this.#deps.storeId,
        clusterId: cluster.clusterId,
        goal,
        previous: await this.#stored(goal),
        cell: cluster.cell,
        mayWrite: () => this.#active === cluster && this.#deps.fence() !== null,
        now: Date.now,
      });
      if (result.connectionError?.kind === 'unauthorized') this.#deps.onUnauthorized(result.connectionError);
      // What a connection that we closed ourselves says of a job is not true of the job.
      if (result.connectionError && this.#active !== cluster) return;
      await this.#save(id, result);
      this.#schedule(id, goal, result, cluster);
    } catch (error) {
      this.#failed(id, error);
    }
  }

  /** What was last stored of the job. Removed jobs take no memory, so theirs is asked for. */
  async #stored({ job, content }: Goal): Promise<JobStatus | null> {
    const known = this.#previous.get(job.id);
    if (known || content.kind === 'spec') return known ?? null;
    const [stored] = await this.#deps.statuses.statuses([job.id]);
    return stored?.status ?? null;
  }

  /** What cannot be recorded now is recorded with the job's next turn. */
  async #save(id: JobId, { changed, status, events: fresh }: ReconcileResult): Promise<void> {
    const events = [...(this.#unrecorded.get(id) ?? []), ...fresh];
    if (!changed && events.length === 0) return;
    if (events.length > 0) this.#unrecorded.set(id, events);
    const fence = this.#deps.fence();
    if (!fence) return;
    await this.#deps.statuses.record(fence, { status: changed ? status : null, events });
    this.#unrecorded.delete(id);
    this.#previous.set(id, status);
  }

  #schedule(id: JobId, goal: Goal, result: ReconcileResult, cluster: ActiveCluster): void {
    if (this.#active !== cluster) return;
    const { next } = result;
    if (result.status.phase === 'Gone') this.#forget(goal, result.changed);
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

  #failed(id: JobId, error: unknown): void {
    if (error instanceof StoreError && error.kind === 'fenced') {
      this.#deps.onFenced();
      return;
    }
    const afterMs = this.#queue.retry(id);
    if (error instanceof StoreError) {
      this.#deps.onStoreTrouble(error);
      return;
    }
    this.#deps.log.error({ ...errorFields(error), job: id, afterMs }, 'a reconcile failed; it is tried again');
  }

  /** A cell whose job the store has never heard of is reported and left alone. */
  #orphan(id: JobId): void {
    if (this.#orphans.has(id)) return;
    this.#orphans.add(id);
    this.#deps.log.warn({ job: id }, 'a cell without a goal is in the cluster; see: bulkhead orphans');
  }

  #remember(goal: Goal): void {
    const namespace = cellNamespace(this.#deps.storeId, goal.job);
    const jobs = this.#tenants.get(namespace) ?? new Set();
    this.#tenants.set(namespace, jobs.add(goal.job.id));
  }

  #forget(goal: Goal, isNews: boolean): void {
    const namespace = cellNamespace(this.#deps.storeId, goal.job);
    const others = this.#tenants.get(namespace) ?? new Set<JobId>();
    others.delete(goal.job.id);
    if (others.size === 0) this.#tenants.delete(namespace);
    this.#previous.delete(goal.job.id);
    this.#queue.forget(goal.job.id);
    if (isNews) this.#deps.log.info({ job: jobName(goal.job) }, 'the job is gone');
    for (const id of others) this.wake(id);
  }
}
