import type { Fence, TurnRecord } from '../ports/store.ts';
import { appendEvents } from './events.ts';
import type { Database } from './pool.ts';
import { saveStatus } from './status.ts';

/**
 * Stores what one turn of one job has to tell, status and events together, so that the audit trail never lacks what a
 * status says.
 * @throws StoreError `fenced` when the fence is outdated
 */
export async function record(db: Database, fence: Fence, { status, events }: TurnRecord): Promise<void> {
  if (!status) return appendEvents(db, fence, events);
  if (events.length === 0) return saveStatus(db, fence, status);
  await db.transaction(async (sql) => {
    await saveStatus(sql, fence, status);
    await appendEvents(sql, fence, events);
  });
}
