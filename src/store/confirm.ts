import type { FenceConfirmation } from '../ports/shards.ts';
import { type ChangeOrigin, StoreError } from '../ports/store.ts';
import type { Database, Sql } from './pool.ts';

/**
 * A person's word that this store goes on from where a cluster's fence stands, though it is behind it: it was restored,
 * or promoted without its last writes.
 */

/** The owners' fences are outdated from here on; their next heartbeat claims anew, one above both. */
async function raise(sql: Sql, fences: FenceConfirmation['fences']): Promise<void> {
  await sql.query(
    `with seen as materialized (
       select s.id, given.n
       from unnest($1::smallint[], $2::bigint[]) given (shard, n) join bulkhead.shard s on s.id = given.shard
       order by s.id for update of s)
     update bulkhead.shard s set owner = null, epoch = greatest(s.epoch, seen.n) from seen where s.id = seen.id`,
    [[...fences.keys()], [...fences.values()].map(({ n }) => n)],
  );
}

async function remember(sql: Sql, systems: ReadonlySet<string>, author: string, reason: string): Promise<void> {
  await sql.query(
    `insert into bulkhead.fence_confirmation (system, follows, author, reason)
     select bulkhead.system_identifier(), follows, $2, $3 from unnest($1::text[]) follows`,
    [[...systems], author, reason],
  );
}

/** @throws StoreError `invalid` without a reason */
export async function confirmFence(
  db: Database,
  { fences }: FenceConfirmation,
  { author, reason }: ChangeOrigin,
): Promise<void> {
  if (reason === null) throw new StoreError('invalid', 'A fence is confirmed for a reason: say which, for the record.');
  if (fences.size === 0) return;
  const systems = new Set([...fences.values()].map(({ system }) => system));
  await db.transaction(async (sql) => {
    await raise(sql, fences);
    await remember(sql, systems, author, reason);
  });
}

/** Whether a person has confirmed, to the database that this is now, that it follows fences of `system`. */
export async function followsSystem(sql: Sql, system: string): Promise<boolean> {
  const rows = await sql.query(
    'select from bulkhead.fence_confirmation where system = bulkhead.system_identifier() and follows = $1 limit 1',
    [system],
  );
  return rows.length > 0;
}
