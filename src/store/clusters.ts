import { type ClusterId, clusterId } from '../job/ids.ts';
import type { Fence } from '../ports/shards.ts';
import type { ChangeOrigin, KnownCluster } from '../ports/store.ts';
import { FENCE_CTE, fenced, fenceValues } from './fence.ts';
import type { Database, Sql } from './pool.ts';

/** The cluster that the cells are in, and the former ones. */

interface ClusterRow {
  readonly id: string;
  readonly context_name: string;
  readonly server: string;
  readonly ca_certificate: string | null;
}

export async function currentCluster(sql: Sql): Promise<KnownCluster | null> {
  const [row] = await sql.query<ClusterRow>(
    'select id, context_name, server, ca_certificate from bulkhead.cluster where current',
  );
  if (row === undefined) return null;
  return {
    id: clusterId(row.id),
    contextName: row.context_name,
    server: row.server,
    caCertificate: row.ca_certificate,
  };
}

async function retireOthers(sql: Sql, fence: Fence, id: string): Promise<void> {
  await sql.query(
    `with ${FENCE_CTE}
     update bulkhead.cluster set current = false from fence where shard = 0 and current and id <> $6::uuid`,
    [...fenceValues(fence), id],
  );
}

async function upsertCurrent(sql: Sql, fence: Fence, cluster: KnownCluster): Promise<void> {
  const recorded = await sql.query(
    `with ${FENCE_CTE}
     insert into bulkhead.cluster (id, context_name, server, ca_certificate, current)
     select $6::uuid, $7, $8, $9, true from fence where shard = 0
     on conflict (id) do update set context_name = excluded.context_name, server = excluded.server,
       ca_certificate = excluded.ca_certificate, current = true
     returning 1`,
    [...fenceValues(fence), cluster.id, cluster.contextName, cluster.server, cluster.caCertificate],
  );
  if (recorded.length === 0) throw fenced(fence);
}

/**
 * Makes `cluster` the current one; a former one stays in the history. An acceptance has had its effect with it, or is
 * overtaken; only a new address of the current cluster leaves the acceptance of another one as it is.
 * @param fence of shard 0, whose owner speaks for the whole store
 * @throws StoreError `fenced`, also under the fence of another shard
 */
export async function recordCluster(db: Database, fence: Fence, cluster: KnownCluster): Promise<void> {
  await db.transaction(async (sql) => {
    const before = await currentCluster(sql);
    await retireOthers(sql, fence, cluster.id);
    await upsertCurrent(sql, fence, cluster);
    await sql.query('delete from bulkhead.cluster_acceptance where id = $1::uuid or $2', [
      cluster.id,
      before?.id !== cluster.id,
    ]);
  });
}

/** The last word counts. */
export async function acceptCluster(sql: Sql, id: ClusterId, { author, reason }: ChangeOrigin): Promise<void> {
  await sql.query(
    `insert into bulkhead.cluster_acceptance (id, author, reason) values ($1, $2, $3)
     on conflict (only_one) do update
     set id = excluded.id, author = excluded.author, reason = excluded.reason, at = excluded.at`,
    [id, author, reason],
  );
}

export async function acceptedCluster(sql: Sql): Promise<ClusterId | null> {
  const [row] = await sql.query<{ id: string }>('select id from bulkhead.cluster_acceptance');
  return row === undefined ? null : clusterId(row.id);
}
