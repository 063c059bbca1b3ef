import type { JobRevision, Layer } from '../job/goal.ts';
import type { JobId } from '../job/ids.ts';
import type { Sql } from './pool.ts';
import { type LayerRow, toJobRevision } from './rows.ts';

/** What was ever said about a job. Revisions of the scaler that were archived are not among it. */

const COLUMNS = 'revision, content, content_hash, author, source, reason, idempotency_key, created_at';

/** Every revision of every layer, oldest first; empty for a job that the store does not know. */
export async function history(sql: Sql, id: JobId): Promise<JobRevision[]> {
  const rows = await sql.query<LayerRow & { readonly layer: Layer }>(
    `select layer, until, ${COLUMNS} from bulkhead.goal_revision where job_id = $1
     union all
     select 'scaler', null, ${COLUMNS} from bulkhead.scaler_revision where job_id = $1
     order by revision`,
    [id],
  );
  return rows.map(toJobRevision);
}
