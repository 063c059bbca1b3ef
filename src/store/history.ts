import type { JobRevision, Layer } from '../job/goal.ts';
import type { JobId, Revision } from '../job/ids.ts';
import type { Sql } from './pool.ts';
import { type LayerRow, toJobRevision } from './rows.ts';

/** What was ever said about a job. Revisions of the scaler that were archived are not among it. */

const COLUMNS = 'revision, content, content_hash, author, source, reason, idempotency_key, created_at';

/** Of both tables of revisions those that the condition names. */
const revisionsWhere = (condition: string): string => `
  select layer, until, take_over, ${COLUMNS} from bulkhead.goal_revision where ${condition}
  union all
  select 'scaler', null, false, ${COLUMNS} from bulkhead.scaler_revision where ${condition}`;

type HistoryRow = LayerRow & { readonly layer: Layer };

/** Every revision of every layer, oldest first; empty for a job that the store does not know. */
export async function history(sql: Sql, id: JobId): Promise<JobRevision[]> {
  const rows = await sql.query<HistoryRow>(`${revisionsWhere('job_id = $1')} order by revision`, [id]);
  return rows.map(toJobRevision);
}

/** One revision, of whatever layer; null where there is none. */
export async function revisionOf(sql: Sql, id: JobId, revision: Revision): Promise<JobRevision | null> {
  const [row] = await sql.query<HistoryRow>(revisionsWhere('job_id = $1 and revision = $2'), [id, revision]);
  return row === undefined ? null : toJobRevision(row);
}
