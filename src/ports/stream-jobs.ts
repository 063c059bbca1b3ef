import type { JobId, JobName } from '../job/ids.ts';
import type { DefinitionState } from '../plan/intake.ts';
import type { Home, ObservedStreamJob, StreamJobAction, StreamJobEvent } from '../plan/stream-job.ts';
import type { Fence } from './shards.ts';

/** What the rest of Bulkhead asks of the StreamJobs in a cluster. */
export interface StreamJobs {
  /** Whether a tenant's are there to be seen: their kind is installed, has been listed completely, and may be read there. */
  sees(tenant: string): boolean;
  readonly definition: DefinitionState;
  /** Whether the cluster is proved to stamp who edits them. Never rejects for a fault of the cluster. */
  stampsAuthors(): Promise<boolean>;
  /** As the watch has it, our own writes included. */
  of(job: JobName): ObservedStreamJob | null;
  withUid(uid: string): ObservedStreamJob | null;
  /** One whose status names this job. Looks at all of them: for jobs that the store does not have. */
  ofStatus(job: JobId): ObservedStreamJob | null;
  /** A live look at where an object of this tenant would live. @throws ClusterError */
  home(tenant: string): Promise<Home>;
  /**
   * @returns the object as the API server stored it; null where it is gone, and for a namespace
   * @throws ClusterError `conflict` when it is not as it was seen any more: a live read has been taken in then
   */
  execute(action: StreamJobAction, fence: Fence): Promise<ObservedStreamJob | null>;
  /** Tells Kubernetes of a transition. Best effort: @throws ClusterError */
  tell(object: ObservedStreamJob, event: StreamJobEvent): Promise<void>;
}
