import type { StoreArchive } from '../job/archive.ts';
import type { Epoch } from '../job/epoch.ts';
import type { Goal, JobRevision, Layer, LayerContent, PlatformRevision, Source } from '../job/goal.ts';
import type { ClusterId, JobId, JobName, JobRef, Revision, Shard, StoreId } from '../job/ids.ts';
import type { PlatformContent } from '../job/platform.ts';
import type { FieldKeeper, JobStatus } from '../job/status.ts';
import type { Fence, FenceConfirmation } from './shards.ts';

/**
 * What the rest of Bulkhead asks of the goal store. Every method is bounded by the store's statement time-out and
 * rejects with a {@link StoreError} when it fails.
 */

/**
 * - `unavailable`: the database did not answer, or not for sure; try again.
 * - `fenced`: somebody else owns the work now; stop.
 * - `conflict`: somebody else changed it meanwhile; look again.
 * - `invalid`: what was to be stored breaks a rule; the message says which and what to do.
 * - `configuration`: a person must change something about the database or the way to it.
 */
export type StoreErrorKind = 'unavailable' | 'fenced' | 'conflict' | 'invalid' | 'configuration';

export class StoreError extends Error {
  readonly kind: StoreErrorKind;
  constructor(kind: StoreErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
    this.kind = kind;
  }
}

/** A write was based on a revision that is not the newest of its layer any more: both sides, for a person to compare. */
export class StaleBaseError extends StoreError {
  readonly job: JobName;
  readonly layer: Layer;
  readonly base: Revision | 'none';
  /** What is there now; null where the layer has nothing. */
  readonly current: JobRevision | null;
  /** What was to be written. */
  readonly wanted: LayerContent;
  constructor(message: string, sides: Pick<StaleBaseError, 'job' | 'layer' | 'base' | 'current' | 'wanted'>) {
    super('conflict', message);
    this.name = 'StaleBaseError';
    this.job = sides.job;
    this.layer = sides.layer;
    this.base = sides.base;
    this.current = sides.current;
    this.wanted = sides.wanted;
  }
}

/** Fields that are to be changed are kept by others in Kubernetes, who would not hear of it. */
export class KeptElsewhereError extends StoreError {
  readonly job: JobName;
  /** Those of the keepers' fields that the change is about. */
  readonly keepers: readonly FieldKeeper[];
  constructor(message: string, job: JobName, keepers: readonly FieldKeeper[]) {
    super('conflict', message);
    this.name = 'KeptElsewhereError';
    this.job = job;
    this.keepers = keepers;
  }
}

/** Where a job stands, without its content. */
export interface Head {
  readonly jobId: JobId;
  /** The newest revision of any layer. */
  readonly revision: Revision;
}

export interface GoalReader {
  readonly storeId: StoreId;
  /**
   * Every job of these shards (of all, where left out) that still needs somebody: removed jobs drop out once their cell
   * was seen to be gone. One query.
   */
  heads(shards?: readonly Shard[]): Promise<Head[]>;
  /** The goals of these jobs as all layers have them now, removed ones included; unknown ids are left out. One query. */
  goals(ids: readonly JobId[]): Promise<Goal[]>;
}

/** A place in the order of commits: everything before it has been seen. Opaque; only the store that gave it reads it. */
export interface Cursor {
  /** A cursor of another system or timeline says nothing: read everything. */
  readonly system: string;
  readonly timeline: number;
  /** The snapshot's horizon, and what else the store needs to trust it: text that only the store reads. */
  readonly horizon: string;
}

export interface Changes {
  /** Jobs with a revision of any layer since the cursor. Some may have been seen before: the horizon stays back. */
  readonly jobs: readonly Head[];
  /** Platform scopes with a revision since the cursor: a tenant, or null for all. */
  readonly platforms: readonly { readonly tenant: string | null; readonly revision: Revision }[];
  readonly cursor: Cursor;
  /** Age of the oldest transaction that holds the horizon back; 0 when none does. */
  readonly lagMs: number;
}

export interface ChangeReader {
  /** Read this before a full read, then go on from it: nothing is missed in between. */
  cursor(): Promise<Cursor>;
  /**
   * What was committed since, also by transactions that became visible late. Its cost depends on the number of changes,
   * not of jobs.
   * @returns null when the cursor is of another system or timeline: a full read is due
   */
  changesSince(cursor: Cursor): Promise<Changes | null>;
  /** Ids of a tenant's jobs (null: of all) in these shards: those that a platform's change concerns. One query. */
  jobsOf(tenant: string | null, shards: readonly Shard[]): Promise<JobId[]>;
}

/** Which revision of the layer a change was made from. Left out: whatever is there, an edit on the head. */
export type Base = Revision | 'none';

/** What a person or a program wants changed, in the layer that the content belongs to. */
export interface GoalChange {
  readonly job: JobName;
  readonly content: LayerContent;
  readonly base?: Base;
  /** The id that a job gets which this change makes; left out: a new one. A job that is there already keeps its own. */
  readonly id?: JobId;
  /** Change layer `job` though others keep the fields in Kubernetes: their object is written over. */
  readonly takeOver?: true;
}

export interface ChangeOrigin {
  readonly author: string;
  readonly source: Source;
  readonly reason: string | null;
  /**
   * The same key with the same changes stores them once, however often and after whatever failure they are sent; with
   * other changes it is refused. Scoped by tenant. Left out: made up for the call, which then survives a lost answer.
   */
  readonly idempotencyKey?: string;
}

export interface GoalReceipt {
  readonly job: JobName;
  /** null where a removal found no such job. */
  readonly id: JobId | null;
  /** The newest revision of the job after the change. */
  readonly revision: Revision | null;
  /** `restored`: a removed job within its retention time is wanted again, under its old id. */
  readonly outcome: 'created' | 'configured' | 'unchanged' | 'removed' | 'absent' | 'restored';
}

export interface PlatformReceipt {
  readonly tenant: string | null;
  readonly revision: Revision;
  readonly outcome: 'created' | 'configured' | 'unchanged';
}

export interface GoalWriter {
  /**
   * All changes or none, in one transaction. Content equal to the newest revision of its layer makes no new one. The
   * merged goal of every job must hold before `platform.limits`.
   * @param options.dryRun answers what would be, stores nothing
   * @param options.fence what the change is made under, where it is an operator's: it must still hold, else `fenced`
   * Layer `job` is refused to all sources but `kubectl` where the status names keepers of a field that would change (or,
   * for a removal, any), unless the change takes over.
   * @throws StaleBaseError; KeptElsewhereError; StoreError `invalid`, `conflict` (a key that was used with other changes)
   */
  write(
    changes: readonly GoalChange[],
    origin: ChangeOrigin,
    options?: { readonly dryRun?: boolean; readonly fence?: Fence },
  ): Promise<GoalReceipt[]>;
  /** @param base the scope's revision that the change was made from; left out: an edit on the head */
  writePlatform(
    change: { readonly tenant: string | null; readonly content: PlatformContent; readonly base?: Base },
    origin: ChangeOrigin,
  ): Promise<PlatformReceipt>;
}

export interface GoalCatalog {
  /** Goals of the jobs that are not removed, ordered by tenant and name. */
  list(filter?: { readonly tenant?: string }): Promise<Goal[]>;
  /** The newest goal of the job of that name; null where there is none (never was, or removed). */
  find(job: JobName): Promise<Goal | null>;
  /** The most lately removed job of that name and until when `undelete` can bring it back; null where there is none. */
  findRemoved(job: JobName): Promise<{ readonly goal: Goal; readonly until: Date } | null>;
  /** All ids the store has ever given, removed jobs included: what is not among them is an orphan. */
  knows(ids: readonly JobId[]): Promise<Set<JobId>>;
}

export interface HistoryReader {
  /** One revision of a job, of whatever layer; null where there is none. */
  revisionOf(id: JobId, revision: Revision): Promise<JobRevision | null>;
  /** Every revision of every layer of a job, oldest first. */
  history(id: JobId): Promise<JobRevision[]>;
  /** The newest revision of each platform scope; null tenant first, then by name. */
  platforms(): Promise<PlatformRevision[]>;
  /** Every revision of one platform scope, oldest first. */
  platformHistory(tenant: string | null): Promise<PlatformRevision[]>;
}

export interface StoredStatus {
  readonly status: JobStatus;
  readonly updatedAt: Date;
}

export interface StatusStore {
  statuses(ids?: readonly JobId[]): Promise<StoredStatus[]>;
}

export type EventType = 'Normal' | 'Warning';

export interface JobEvent {
  readonly jobId: JobId;
  readonly revision: Revision;
  readonly type: EventType;
  readonly reason: string;
  readonly message: string;
}

export interface StoredEvent extends JobEvent {
  readonly job: JobRef;
  readonly at: Date;
}

/** What one turn of one job has to tell. */
export interface TurnRecord {
  /** The job's new status; null where it has not changed. */
  readonly status: JobStatus | null;
  /** For the audit trail, in this order. */
  readonly events: readonly JobEvent[];
}

export interface TurnRecorder {
  /** Stores both or nothing. @throws StoreError `fenced` when the fence is outdated */
  record(fence: Fence, turn: TurnRecord): Promise<void>;
}

export interface EventStore {
  /** Oldest first, the newest `limit` of them. */
  events(filter: { readonly jobId?: JobId; readonly tenant?: string; readonly limit: number }): Promise<StoredEvent[]>;
}

/** A cluster that held this store's cells, and how to tell whether it is still there. */
export interface KnownCluster {
  readonly id: ClusterId;
  readonly contextName: string;
  readonly server: string;
  /** PEM; null where the connection is not by TLS with a CA of its own. */
  readonly caCertificate: string | null;
}

export interface ClusterRegistry {
  /** The cluster that this store's cells are in; null on a new store. */
  currentCluster(): Promise<KnownCluster | null>;
  /** Records the cluster (again). The former one stays in the history. @param fence of shard 0, which speaks for all */
  recordCluster(fence: Fence, cluster: KnownCluster): Promise<void>;
  /** A person's word that all jobs move to this cluster; whoever owns shard 0 acts on it, once. */
  acceptCluster(id: ClusterId, origin: ChangeOrigin): Promise<void>;
  /** The cluster that a person has accepted and that has not been recorded since. */
  acceptedCluster(): Promise<ClusterId | null>;
}

export interface FenceConfirmer {
  /** Raises every shard to max(store, fence) + 1 under this store's system and timeline; owners claim anew. */
  confirmFence(confirmation: FenceConfirmation, origin: ChangeOrigin): Promise<void>;
  /** Whether a person has confirmed that this store goes on from that epoch of a cluster's fence, or a later one. */
  followsFence(shard: Shard, found: Epoch): Promise<boolean>;
}

/** What replicas found to be ahead of this store: remembered, so that further claims do not outgrow it unseen. */
export interface BehindRegistry {
  /** Remembers that a cluster's fence has seen more than this store. @throws StoreError `fenced` */
  recordBehind(behind: readonly { readonly fence: Fence; readonly found: Epoch }[]): Promise<void>;
  /** What was found ahead of these shards and not confirmed by a person since. One query. */
  behindShards(shards: readonly Shard[]): Promise<ReadonlyMap<Shard, Epoch>>;
}

/** What the brake says to one removal. */
export type BrakeVerdict =
  | { readonly kind: 'granted' }
  /** `until`: when to ask again, since room may be there then. */
  | { readonly kind: 'braked'; readonly until: Date; readonly budget: number };

export interface BrakeState {
  /** Removals that one window allows: 5 % of all cells, at least 3. */
  readonly budget: number;
  readonly windowMs: number;
  /** Removals granted within the window. */
  readonly used: number;
  /** Removed jobs whose cell waits for the brake. */
  readonly waiting: readonly JobRef[];
  readonly lastRelease: { readonly at: Date; readonly author: string; readonly reason: string } | null;
}

/** One budget for all replicas: how many cells may go in a while. */
export interface Brake {
  /** Reserves the removal of a job's cell; asked again for the same revision it answers the same. */
  reserveRemoval(fence: Fence, id: JobId, revision: Revision): Promise<BrakeVerdict>;
  brakeState(): Promise<BrakeState>;
  /** Lets every removal go that was asked for until now. @returns how many were waiting */
  releaseBrake(origin: ChangeOrigin & { readonly reason: string }): Promise<number>;
}

/** Ends on-call layers whose time is over: each as a revision of its own. */
export interface OverrideExpiry {
  /** @returns the jobs that were changed. @throws StoreError `fenced` */
  expireOverrides(fences: readonly Fence[]): Promise<JobId[]>;
}

/** Hints about changes. They can be lost, doubled or late; after `onReady` the listener reads from its cursor. */
export interface GoalHints {
  /** Listens until `signal` aborts, on a connection of its own, re-connecting by itself. */
  listen(
    handlers: {
      readonly onJob: (id: JobId) => void;
      /** A platform scope or the brake changed, or shards became free. */
      readonly onOther: () => void;
      readonly onReady: () => void;
      readonly onLost: (error: Error) => void;
    },
    signal: AbortSignal,
  ): Promise<void>;
}

/** Times in an archive are text: Postgres counts microseconds, a Date does not. */
export type { ArchivedJob, ArchivedPlatformRevision, ArchivedRevision, StoreArchive } from '../job/archive.ts';

export interface Archivist {
  /** A consistent copy of the whole store, history included, in a fixed order. */
  readArchive(work: (archive: StoreArchive) => Promise<void>): Promise<void>;
  /**
   * Fills an empty store with an archive, ids, numbers and times as they were: all of it or nothing.
   * @throws StoreError `conflict` when the store is not empty
   */
  restoreArchive(archive: StoreArchive): Promise<{ readonly jobs: number; readonly revisions: number }>;
}
