import { clusterId } from '../job/ids.ts';
import type { Fence, KnownCluster } from '../ports/store.ts';
import { fenceCte, fenced } from './fence.ts';
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
    `with ${fenceCte('$1', '$2')}
     update bulkhead.cluster set current = false from fence where current and id <> $3::uuid`,
    [fence.owner, fence.epoch, id],
  );
}

async function upsertCurrent(sql: Sql, fence: Fence, cluster: KnownCluster): Promise<void> {
  const recorded = await sql.query(
    `with ${fenceCte('$1', '$2')}
     insert into bulkhead.cluster (id, context_name, server, ca_certificate, current)
     select $3::uuid, $4, $5, $6, true from fence
     on conflict (id) do update set context_name = excluded.context_name, server = excluded.server,
       ca_certificate = excluded.ca_certificate, current = true
     returning 1`,
    [fence.owner, fence.epoch, cluster.id, cluster.contextName, cluster.server, cluster.caCertificate],
  );
  if (recorded.length === 0) throw fenced(fence);
}

/** Makes `cluster` the current one; a former one stays in the history. @throws StoreError `fenced` */
export async function recordCluster(db: Database, fence: Fence, cluster: KnownCluster): Promise<void> {
  await db.transaction(async (sql) => {
    await retireOthers(sql, fence, cluster.id);
    await upsertCurrent(sql, fence, cluster);
  });
}
