import { compareToFence, type Epoch, formatEpoch, parseEpoch } from '../job/epoch.ts';
import type { Shard } from '../job/ids.ts';
import type { FenceConfirmation } from '../ports/shards.ts';
import { type ChangeOrigin, StoreError } from '../ports/store.ts';
import { forgetBehind } from './behind.ts';
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

async function remember(sql: Sql, fences: FenceConfirmation['fences'], author: string, reason: string): Promise<void> {
  const confirmed = Object.fromEntries([...fences].map(([shard, epoch]) => [shard, formatEpoch(epoch)]));
  await sql.query(
    `insert into bulkhead.fence_confirmation (system, fences, author, reason)
     values (bulkhead.system_identifier(), $1::jsonb, $2, $3)`,
    [JSON.stringify(confirmed), author, reason],
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
  await db.transaction(async (sql) => {
    // First, since its locks make a replica wait that is about to remember something under an outdated fence.
    await raise(sql, fences);
    await forgetBehind(sql, [...fences.keys()]);
    await remember(sql, fences, author, reason);
  });
}

/** Whether a person has confirmed, to the database that this is now, that `shard` goes on from `found` or later. */
export async function followsFence(sql: Sql, shard: Shard, found: Epoch): Promise<boolean> {
  const rows = await sql.query<{ epoch: string }>(
    `select fences ->> $1 as epoch from bulkhead.fence_confirmation
     where system = bulkhead.system_identifier() and fences ->> $1 is not null`,
    [String(shard)],
  );
  return rows.some(({ epoch }) => {
    const confirmed = parseEpoch(epoch);
    return confirmed !== null && compareToFence(confirmed, found) !== 'behind';
  });
}
