import { epoch } from '../job/ids.ts';
import type { Fence } from '../ports/store.ts';
import type { Sql } from './pool.ts';

/**
 * The lease under which one operator acts, by the database's clock alone: clock_timestamp(), which moves on while a
 * statement waits, and never now(), which stands still in a transaction.
 */

/** pg gives a bigint as text. */
interface EpochRow {
  readonly epoch: string;
}

const EXPIRY = "clock_timestamp() + $2 * interval '1 millisecond'";

/** The holder keeps its epoch, also when it comes late but nobody else came. */
async function renew(sql: Sql, owner: string, ttlMs: number): Promise<EpochRow | undefined> {
  const rows = await sql.query<EpochRow>(
    `update bulkhead.shard set expires_at = ${EXPIRY} where id = 0 and owner = $1 returning epoch`,
    [owner, ttlMs],
  );
  return rows[0];
}

async function takeOver(sql: Sql, owner: string, ttlMs: number): Promise<EpochRow | undefined> {
  const rows = await sql.query<EpochRow>(
    `update bulkhead.shard set owner = $1, epoch = epoch + 1, expires_at = ${EXPIRY}
     where id = 0 and expires_at <= clock_timestamp() returning epoch`,
    [owner, ttlMs],
  );
  return rows[0];
}

/**
 * @param owner unique to the process: two processes of the same name would share an epoch
 * @returns the fence while the lease is `owner`'s, null while another holds it
 */
export async function acquire(sql: Sql, owner: string, ttlMs: number): Promise<Fence | null> {
  const row = (await renew(sql, owner, ttlMs)) ?? (await takeOver(sql, owner, ttlMs));
  return row === undefined ? null : { owner, epoch: epoch(Number(row.epoch)) };
}

/** Ends the lease at once; nothing happens when it is somebody else's already. */
export async function release(sql: Sql, fence: Fence): Promise<void> {
  await sql.query(
    `update bulkhead.shard set owner = null, expires_at = '-infinity' where id = 0 and owner = $1 and epoch = $2`,
    [fence.owner, fence.epoch],
  );
}
