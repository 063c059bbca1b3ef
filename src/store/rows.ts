import type { Goal, Source } from '../job/goal.ts';
import { type JobRef, jobId, revision } from '../job/ids.ts';
import type { JobSpec } from '../job/spec.ts';

/** Rows as `pg` gives them, and the edge at which they become Bulkhead's types. */
export interface JobRow {
  readonly job_id: string;
  readonly tenant: string;
  readonly name: string;
}

export interface GoalRow extends JobRow {
  readonly revision: number;
  readonly content: JobSpec | null;
  readonly content_hash: string;
  readonly author: string;
  readonly source: Source;
  readonly reason: string | null;
  readonly created_at: Date;
}

export const toJobRef = (row: JobRow): JobRef => ({ id: jobId(row.job_id), tenant: row.tenant, name: row.name });

export const toGoal = (row: GoalRow): Goal => ({
  job: toJobRef(row),
  revision: revision(row.revision),
  content: row.content === null ? { kind: 'tombstone' } : { kind: 'spec', spec: row.content },
  contentHash: row.content_hash,
  author: row.author,
  source: row.source,
  reason: row.reason,
  createdAt: row.created_at,
});

/**
 * Text that Postgres takes, of whatever a cluster said: NUL and halves of surrogate pairs become U+FFFD. For what was
 * observed only; what people wrote is stored as it is or refused.
 */
export const storableText = (text: string): string => text.replaceAll('\0', '\uFFFD').toWellFormed();

/** JSON of an observed value, with storable text in it. */
export const storableJson = (value: unknown): string =>
  JSON.stringify(value, (_key, inner: unknown) => (typeof inner === 'string' ? storableText(inner) : inner));
