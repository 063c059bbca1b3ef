import type { ClusterId, JobId, Revision } from './ids.ts';
import type { Tier } from './tier.ts';

/** Conditions after kstatus: Reconciling and Stalled are absent when false; Ready is always there. */
export type ConditionType = 'Ready' | 'Reconciling' | 'Stalled';

export interface Condition {
  readonly type: ConditionType;
  readonly status: 'True' | 'False' | 'Unknown';
  /** Stable CamelCase word that programs may compare. */
  readonly reason: string;
  /** A sentence for people: what is the matter and, where something can be done, what to do. */
  readonly message: string;
  /** ISO time of the last change of `status`; a new reason or message alone does not move it. */
  readonly lastTransitionTime: string;
}

/** One word for a column. The conditions say why. */
export type Phase = 'Pending' | 'Progressing' | 'Running' | 'Degraded' | 'Suspended' | 'Waiting' | 'Deleting' | 'Gone';

export interface WorkerCounts {
  readonly desired: number;
  readonly ready: number;
  /** Container restarts of the pods that are there now. */
  readonly restarts: number;
}

/** What will be done next, and why; also "nothing" has a reason. */
export interface NextStep {
  readonly action: string;
  readonly why: string;
}

/** Somebody beside Bulkhead who keeps fields of a StreamJob: a GitOps tool, or a colleague's `kubectl apply`. */
export interface FieldKeeper {
  /** The field manager's name, as Kubernetes records it. */
  readonly manager: string;
  /** Paths within `spec`, such as `workers.replicas`; a list counts as one field. */
  readonly fields: readonly string[];
}

/** What was last seen of a job. Disposable: it can be made again from the goal and the cluster. */
export interface JobStatus {
  readonly jobId: JobId;
  /** The goal revision that everything here speaks of. */
  readonly observedRevision: Revision;
  /** Revisions of the platform's layers that it speaks of, for all tenants and for the job's own; 0 where there is none. */
  readonly observedPlatform: { readonly all: number; readonly tenant: number };
  readonly clusterId: ClusterId;
  readonly phase: Phase;
  readonly conditions: readonly Condition[];
  readonly workers: WorkerCounts;
  /** Namespace of the cell. */
  readonly cell: string;
  /**
   * The tier that the cell has, or is on its way to. null where no goal says one: a removed job's first status. Statuses
   * stored before there were tiers lack the field, so a reader says `status.tier ?? null`; the next turn fills it.
   */
  readonly tier: Tier | null;
  readonly next: readonly NextStep[];
  /** Who else keeps fields of the job's StreamJob: what they keep, no other way in may change. Left out: nobody. */
  readonly keepers?: readonly FieldKeeper[];
}
