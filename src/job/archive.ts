import type { Authorship, JobContent } from './goal.ts';
import type { JobRef, Revision, StoreId } from './ids.ts';
import type { SpecPatch } from './patch.ts';
import type { PlatformContent } from './platform.ts';

/**
 * A store as plain data, to be kept and restored bit for bit. Times are text in UTC with the microseconds that Postgres
 * has and a `Date` has not: `2026-01-31T23:59:59.123456Z`, always six digits, so
 * `to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`.
 */
export type TimeText = string;

type ArchivedAuthorship = Omit<Authorship, 'createdAt'> & { readonly createdAt: TimeText };

/** A layer's content, as in LayerContent, with its time as text. */
export type ArchivedContent =
  | JobContent
  | { readonly kind: 'patch'; readonly layer: 'scaler'; readonly patch: SpecPatch }
  | { readonly kind: 'patch'; readonly layer: 'oncall'; readonly patch: SpecPatch; readonly until: TimeText | null }
  | { readonly kind: 'cleared'; readonly layer: 'scaler' | 'oncall' };

export interface ArchivedRevision extends ArchivedAuthorship {
  readonly revision: Revision;
  readonly content: ArchivedContent;
  readonly contentHash: string;
  /** As JobRevision has it. */
  readonly takeOver?: true;
}

export interface ArchivedPlatformRevision extends ArchivedAuthorship {
  /** A tenant; null for all of them. */
  readonly tenant: string | null;
  readonly revision: Revision;
  readonly content: PlatformContent;
  readonly contentHash: string;
}

/** One job of a store with all that was ever said about it. */
export interface ArchivedJob {
  readonly job: JobRef;
  readonly createdAt: TimeText;
  readonly removedAt: TimeText | null;
  /** Of all layers, oldest first. */
  readonly revisions: readonly ArchivedRevision[];
}

/** What an idempotency key was used for, and what was answered: a repeat after a move must find it. */
export interface ArchivedKey {
  /** A tenant; null for what concerns all of them. */
  readonly tenant: string | null;
  readonly key: string;
  readonly bodyHash: string;
  /** The answer as JSON, as the store keeps it; nobody but the store reads it. */
  readonly receipts: string;
  readonly createdAt: TimeText;
}

/** A whole store; what was only observed is not part of it. */
export interface StoreArchive {
  readonly storeId: StoreId;
  /** How long a removed job keeps its name, as Postgres writes it in ISO 8601: `P7D`. */
  readonly undeleteRetention: string;
  /** All revisions of all scopes: those of one scope together, oldest first. */
  readonly platforms: readonly ArchivedPlatformRevision[];
  readonly jobs: AsyncIterable<ArchivedJob>;
  /** All of them, by tenant and key. To be read when all jobs were. */
  readonly keys: AsyncIterable<ArchivedKey>;
}
