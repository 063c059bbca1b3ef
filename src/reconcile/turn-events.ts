import type { Goal } from '../job/goal.ts';
import type { JobStatus } from '../job/status.ts';
import { actionKey, type ClusterAction } from '../plan/actions.ts';
import { shortKey } from '../plan/objects.ts';
import type { JobEvent } from '../ports/store.ts';

/** What the audit trail is told of a turn. */

const REASONS: Readonly<Record<ClusterAction['do'], string>> = {
  create: 'Created',
  replace: 'Replaced',
  delete: 'Deleted',
};

/** One event for all writes of a kind that have the same cause: a cell that is made is one line, not eight. */
export function writeEvents({ job, revision }: Goal, writes: readonly ClusterAction[]): JobEvent[] {
  const alike = Map.groupBy(writes, (action) => `${action.do} ${action.why}`);
  return [...alike.values()].flatMap((actions) => {
    const [first] = actions;
    if (!first) return [];
    const names = actions.map((action) => shortKey(actionKey(action))).join(', ');
    const message = `${names}: ${first.why}`;
    return [{ jobId: job.id, revision, type: 'Normal', reason: REASONS[first.do], message }];
  });
}

/** One event for a Ready that flipped or changed its reason; nothing while all stays the same. */
export function transitions(previous: JobStatus | null, next: JobStatus): JobEvent[] {
  const ready = next.conditions.find((c) => c.type === 'Ready');
  const before = previous?.conditions.find((c) => c.type === 'Ready');
  if (!ready || (before?.status === ready.status && before.reason === ready.reason)) return [];
  const stalled = next.conditions.some((c) => c.type === 'Stalled');
  return [
    {
      jobId: next.jobId,
      revision: next.observedRevision,
      type: stalled ? 'Warning' : 'Normal',
      reason: ready.reason,
      message: ready.message,
    },
  ];
}
