import type { Goal, GoalContent, Source } from '../job/goal.ts';
import type { ClusterId, Epoch, JobId, JobName, JobRef, Revision, StoreId } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';

/**
 * What the rest of Bulkhead asks of the goal store. Every method is bounded by the store's statement time-out and
 * rejects with a {@link StoreError} when it fails.
 */

/** `unavailable`: the database did not answer; try again. `fenced`: somebody else owns the work now; stop. */
export type StoreErrorKind = 'unavailable' | 'fenced' | 'conflict' | 'configuration';

export class StoreError extends Error {
  readonly kind: StoreErrorKind;
  constructor(kind: StoreErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
    this.kind = kind;
  }
}

/** Proof of ownership that every write of an operator carries; the store refuses an outdated one in the same statement. */
export interface Fence {
  readonly owner: string;
  readonly epoch: Epoch;
}

/** Where a job stands, without its content. */
export interface Head {
  readonly jobId: JobId;
  readonly revision: Revision;
}

export interface GoalReader {
  readonly storeId: StoreId;
  /** Every job that still needs somebody: removed jobs drop out once their cell was seen to be gone. One query. */
  heads(): Promise<Head[]>;
  /** The newest revision of each of these jobs, removed ones included; unknown ids are left out. One query. */
  goals(ids: readonly JobId[]): Promise<Goal[]>;
}

/** What a person or a program wants changed. */
export interface GoalChange {
  readonly job: JobName;
  readonly content: GoalContent;
}

export interface ChangeOrigin {
  readonly author: string;
  readonly source: Source;
  readonly reason: string | null;
}

export interface GoalReceipt {
  readonly job: JobName;
  /** null where a removal found no such job. */
  readonly id: JobId | null;
  readonly revision: Revision | null;
  readonly outcome: 'created' | 'configured' | 'unchanged' | 'removed' | 'absent';
}

export interface GoalWriter {
  /** All changes or none, in one transaction. Content equal to the newest revision makes no new one. */
  write(changes: readonly GoalChange[], origin: ChangeOrigin): Promise<GoalReceipt[]>;
}

export interface GoalCatalog {
  /** Goals of the jobs that are not removed, ordered by tenant and name. */
  list(filter?: { readonly tenant?: string }): Promise<Goal[]>;
  /** The newest goal of the job of that name; null where there is none (never was, or removed). */
  find(job: JobName): Promise<Goal | null>;
  /** All ids the store has ever given, removed jobs included: what is not among them is an orphan. */
  knows(ids: readonly JobId[]): Promise<Set<JobId>>;
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
  /** Records the cluster (again). The former one stays in the history. */
  recordCluster(fence: Fence, cluster: KnownCluster): Promise<void>;
}

export interface Lease {
  /**
   * Takes or renews the one lease under which an operator acts, by the database's clock.
   * @returns the fence while it is ours, null while another holds it
   */
  acquire(owner: string, ttlMs: number): Promise<Fence | null>;
  /** Gives the lease up, so that a successor need not wait for its end. */
  release(fence: Fence): Promise<void>;
}

/** Hints about changed goals. They can be lost, doubled or late; after `onReady` the listener reads the heads again. */
export interface GoalHints {
  /** Listens until `signal` aborts, on a connection of its own, re-connecting by itself. */
  listen(
    handlers: {
      readonly onHint: (id: JobId) => void;
      readonly onReady: () => void;
      readonly onLost: (error: Error) => void;
    },
    signal: AbortSignal,
  ): Promise<void>;
}
