import { type JobId, type JobName, parseJobId, type Revision, type StoreId } from '../job/ids.ts';
import type { JobSpec } from '../job/spec.ts';
import type { Condition, FieldKeeper } from '../job/status.ts';

/**
 * A StreamJob is how a job looks in Kubernetes: a way in for its goal, and its status for kubectl. It is never the
 * truth. These are its parts as plain data, and the actions that a plan for it is made of.
 */

export const CRD_NAME = 'streamjobs.bulkhead.dev';

export const STREAM_JOB_ANNOTATIONS = {
  /** `<generation> <username>`: who made the edit that led to this generation; stamped by an admission policy. */
  author: 'bulkhead.dev/author',
  /** `<storeId> <SHARD:SYSTEM/TIMELINE/N>`: under which epoch Bulkhead wrote it; compared with the fence. */
  writtenBy: 'bulkhead.dev/written-by',
} as const;

const FINALIZER_PREFIX = 'bulkhead.dev/store.';

/** Holds an object until the store has heard of its deletion. It names the store, so that two on one cluster do not meet. */
export const finalizerOf = (store: StoreId): string => `${FINALIZER_PREFIX}${store}`;

export interface StreamJobCondition extends Condition {
  readonly observedGeneration: number;
}

/** `status` of a StreamJob. What concerns a goal is left out while the object has none. */
export interface StreamJobStatus {
  /** Generation of the object that was looked at last. */
  readonly observedGeneration: number;
  readonly storeId: string;
  readonly jobId?: string;
  /** The newest revision of the goal, of whatever layer, that the status speaks of. */
  readonly revision?: number;
  /** The revision of layer `job` that `spec` holds: an edit is taken as made from it. */
  readonly specRevision?: number;
  /** Hash of that revision's content: a store that was restored may have another one of that number. */
  readonly specHash?: string;
  readonly phase: string;
  /** `ready/desired`, for people. */
  readonly workers: string;
  readonly replicas: number;
  readonly readyReplicas: number;
  readonly restarts: number;
  readonly selector?: string;
  readonly tier?: string;
  readonly cell?: string;
  readonly conditions: readonly StreamJobCondition[];
  /** As {@link STREAM_JOB_ANNOTATIONS.writtenBy}, for writes of the status. */
  readonly writtenBy: string;
}

/** A StreamJob as the watch shows it. */
export interface ObservedStreamJob {
  readonly job: JobName;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly isDeleting: boolean;
  readonly finalizers: readonly string[];
  /** Ours alone. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Whether it has any annotations at all. */
  readonly isAnnotated: boolean;
  /** As it is there: the schema in the cluster may be older or newer than ours. */
  readonly spec: unknown;
  /** null where there is none, or none that is ours to read. */
  readonly status: StreamJobStatus | null;
  /** Who else keeps fields of `spec`. */
  readonly keepers: readonly FieldKeeper[];
  /** The field manager that wrote `spec` last. */
  readonly lastManager: string;
  /** The field manager that wrote by `kubectl scale`, whenever that was; null where none did. */
  readonly scaleManager: string | null;
}

/** Where a StreamJob could live: whether its kind and its namespace are there to stay, read just now. */
export type Home = 'there' | 'namespace missing' | 'namespace terminating' | 'kind terminating';

/** One write to a StreamJob, or to where it lives. All are made under a fence, and under the version that was seen. */
export type StreamJobAction =
  /** Our finalizer is put on it, before its goal is stored. */
  | { readonly do: 'claim'; readonly object: ObservedStreamJob }
  /** Our finalizer is taken off. */
  | { readonly do: 'release'; readonly object: ObservedStreamJob }
  /** It is deleted, since its job is removed. Our finalizer goes first: what has it and is being deleted, somebody deletes. */
  | { readonly do: 'discard'; readonly object: ObservedStreamJob }
  | { readonly do: 'create'; readonly job: JobName; readonly spec: JobSpec }
  | { readonly do: 'writeSpec'; readonly object: ObservedStreamJob; readonly spec: JobSpec }
  | { readonly do: 'writeStatus'; readonly object: ObservedStreamJob; readonly status: StreamJobStatus }
  /** A bare namespace for a tenant whose own was lost. */
  | { readonly do: 'makeNamespace'; readonly name: string };

/** What Kubernetes is told as an Event about a StreamJob. */
export interface StreamJobEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** Whether an object is claimed by another store and not by this one: a name that somebody puts beside ours is nothing. */
export const isOthers = (object: ObservedStreamJob, store: StoreId): boolean =>
  !isClaimed(object, store) && object.finalizers.some((name) => name.startsWith(FINALIZER_PREFIX));

export const isClaimed = (object: ObservedStreamJob, store: StoreId): boolean =>
  object.finalizers.includes(finalizerOf(store));

/** The job that our status names; null for an object that we have not taken in. */
export const statusJob = (object: ObservedStreamJob, store: StoreId): JobId | null =>
  object.status?.storeId === store && object.status.jobId !== undefined ? parseJobId(object.status.jobId) : null;

export const specRevisionOf = (object: ObservedStreamJob): Revision | null =>
  object.status?.specRevision === undefined ? null : (object.status.specRevision as Revision);
