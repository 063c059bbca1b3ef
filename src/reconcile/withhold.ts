import { canonicalJson } from '../job/canonical.ts';
import type { ClusterId } from '../job/ids.ts';
import { withheldStatus } from '../plan/status.ts';
import type { Fence, GoalReader, StatusStore, TurnRecorder } from '../ports/store.ts';

const BATCH = 500;

/**
 * Says of every job that it waits because the cluster at hand is not the one it lives in. Writes only what changes.
 * @throws StoreError
 */
export async function withholdAll(
  store: GoalReader & StatusStore & TurnRecorder,
  fence: Fence,
  clusterId: ClusterId,
  why: string,
  now: number,
): Promise<void> {
  const heads = await store.heads();
  for (let from = 0; from < heads.length; from += BATCH) {
    const ids = heads.slice(from, from + BATCH).map((head) => head.jobId);
    const previous = new Map((await store.statuses(ids)).map(({ status }) => [status.jobId, status]));
    for (const goal of await store.goals(ids)) {
      const before = previous.get(goal.job.id) ?? null;
      const status = withheldStatus({ storeId: store.storeId, clusterId, goal, previous: before, now }, why);
      if (canonicalJson(status) === canonicalJson(before)) continue;
      const about = { jobId: goal.job.id, revision: goal.revision };
      const events = [{ ...about, type: 'Warning', reason: 'ClusterChanged', message: why } as const];
      await store.record(fence, { status, events });
    }
  }
}
