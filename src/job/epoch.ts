import type { Shard } from './ids.ts';

/**
 * Under which right a replica acts for a shard. `n` grows with every change of owner; the database's system identifier
 * and timeline tell apart what only looks like the same store: one that was restored elsewhere, or promoted.
 */
export interface Epoch {
  /** Postgres's system identifier, decimal digits: made by initdb, kept by standbys and physical copies. */
  readonly system: string;
  /** Postgres's timeline: one more after each promotion. */
  readonly timeline: number;
  /** 1, 2, 3 … for each shard. */
  readonly n: number;
}

const TEXT = /^(\d{1,20})\/(\d{1,10})\/(\d{1,15})$/;

/** `system/timeline/n`, as annotations and the fence in the cluster carry it. */
export const formatEpoch = ({ system, timeline, n }: Epoch): string => `${system}/${timeline}/${n}`;

/** What an object's annotation says: under which shard's epoch it was written. */
export const epochMark = (of: Shard, epoch: Epoch): string => `${of}:${formatEpoch(epoch)}`;

/** null for a text that {@link formatEpoch} did not write. */
export function parseEpoch(text: string): Epoch | null {
  const [, system, timeline, n] = TEXT.exec(text) ?? [];
  if (system === undefined) return null;
  return { system, timeline: Number(timeline), n: Number(n) };
}

/**
 * Our epoch against the one that a cluster's fence names.
 * - `same`: the fence is ours already.
 * - `newer`: ours follows it, so the fence may be raised.
 * - `behind`: the fence has seen more than our store: that store was restored or promoted from behind, or is the old
 *   primary after a promotion. Only a person may go on from there.
 */
export type EpochOrder = 'same' | 'newer' | 'behind';

export function compareToFence(ours: Epoch, fence: Epoch): EpochOrder {
  if (ours.system !== fence.system || ours.timeline < fence.timeline || ours.n < fence.n) return 'behind';
  return ours.timeline === fence.timeline && ours.n === fence.n ? 'same' : 'newer';
}
