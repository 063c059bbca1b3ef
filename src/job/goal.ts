import type { JobRef, Revision } from './ids.ts';
import type { JobSpec } from './spec.ts';

/** Which way a change came in. */
export type Source = 'cli' | 'api' | 'kubectl' | 'rollback' | 'scaler' | 'oncall' | 'system';

/** A revision's content: what the job should be, or that it should be no more. */
export type GoalContent = { readonly kind: 'spec'; readonly spec: JobSpec } | { readonly kind: 'tombstone' };

/** One immutable, numbered revision of a job's goal. Never edited, never deleted. */
export interface Goal {
  readonly job: JobRef;
  readonly revision: Revision;
  readonly content: GoalContent;
  /** SHA-256 of the content; equal content is no new revision. */
  readonly contentHash: string;
  readonly author: string;
  readonly source: Source;
  readonly reason: string | null;
  readonly createdAt: Date;
}
