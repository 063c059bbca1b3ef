import { canonicalJson } from '../job/canonical.ts';
import { type ClusterId, shardOf } from '../job/ids.ts';
import { type Withheld, withheldStatus } from '../plan/status.ts';
import type { Fence } from '../ports/shards.ts';
import type { GoalReader, StatusStore, TurnRecorder } from '../ports/store.ts';

const BATCH = 500;

/**
 * Says of every job of these shards that it waits, and why. Writes only what changes.
 * @throws StoreError
 */
export async function withholdAll(
  store: GoalReader & StatusStore & TurnRecorder,
  fences: readonly Fence[],
  clusterId: ClusterId,
  withheld: Withheld,
  now: number,
): Promise<void> {
  const byShard = new Map(fences.map((fence) => [fence.shard, fence]));
  const heads = await store.heads([...byShard.keys()]);
  for (let from = 0; from < heads.length; from += BATCH) {
    const ids = heads.slice(from, from + BATCH).map((head) => head.jobId);
    const previous = new Map((await store.statuses(ids)).map(({ status }) => [status.jobId, status]));
    for (const goal of await store.goals(ids)) {
      const before = previous.get(goal.job.id) ?? null;
      const status = withheldStatus({ storeId: store.storeId, clusterId, goal, previous: before, now }, withheld);
      const fence = byShard.get(shardOf(goal.job.id));
      if (!fence || canonicalJson(status) === canonicalJson(before)) continue;
      const about = { jobId: goal.job.id, revision: goal.revision };
      const events = [{ ...about, type: 'Warning', reason: withheld.reason, message: withheld.why } as const];
      await store.record(fence, { status, events });
    }
  }
}
