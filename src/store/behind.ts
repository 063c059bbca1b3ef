import type { Epoch } from '../job/epoch.ts';
import { type Shard, shard } from '../job/ids.ts';
import type { Fence } from '../ports/shards.ts';
import { FENCES_CTE, fenced, fencesValues } from './fence.ts';
import type { Sql } from './pool.ts';

/**
 * What a cluster's fence was found to have seen more than this store. It is remembered here, since every claim adds one
 * to a shard's number: left alone, a store that was restored would outgrow the fence and go on unseen.
 */

/** The greatest that was found stays; found again, it costs no write. */
const RECORD = `
  with ${FENCES_CTE}, kept as (
    insert into bulkhead.fence_ahead as a (shard, system, timeline, n)
    select shard, given.system, given.timeline, given.n
    from unnest($2::smallint[], $6::text[], $7::integer[], $8::bigint[]) as given (shard, system, timeline, n)
    join fence using (shard)
    order by shard
    on conflict (shard) do update
    set system = excluded.system, timeline = excluded.timeline, n = excluded.n, found_at = excluded.found_at
    where (excluded.n, excluded.timeline, excluded.system) > (a.n, a.timeline, a.system))
  select shard from fence`;

/**
 * @param behind each shard once
 * @throws StoreError `fenced` when one of the fences is outdated; what was found under the others is remembered
 */
export async function recordBehind(
  sql: Sql,
  behind: readonly { readonly fence: Fence; readonly found: Epoch }[],
): Promise<void> {
  if (behind.length === 0) return;
  const rows = await sql.query<{ shard: number }>(RECORD, [
    ...fencesValues(behind.map(({ fence }) => fence)),
    behind.map(({ found }) => found.system),
    behind.map(({ found }) => found.timeline),
    behind.map(({ found }) => found.n),
  ]);
  const held = new Set(rows.map((row) => row.shard));
  const outdated = behind.find(({ fence }) => !held.has(fence.shard));
  if (outdated !== undefined) throw fenced(outdated.fence);
}

interface AheadRow {
  readonly shard: number;
  readonly system: string;
  readonly timeline: number;
  /** pg gives a bigint as text. */
  readonly n: string;
}

export async function behindShards(sql: Sql, shards: readonly Shard[]): Promise<ReadonlyMap<Shard, Epoch>> {
  const rows = await sql.query<AheadRow>(
    'select shard, system, timeline, n from bulkhead.fence_ahead where shard = any($1::smallint[]) order by shard',
    [shards],
  );
  return new Map(rows.map(({ n, shard: id, ...server }) => [shard(id), { ...server, n: Number(n) }]));
}

/** A person has confirmed these. */
export async function forgetBehind(sql: Sql, shards: readonly Shard[]): Promise<void> {
  await sql.query('delete from bulkhead.fence_ahead where shard = any($1::smallint[])', [shards]);
}
