import { setTimeout as sleep } from 'node:timers/promises';
import { USER_AGENT } from '../../src/cluster/transport.ts';
import type { LocalCluster } from '../cluster/types.ts';
import { type AuditEntry, auditMark, auditSince, writesSince } from './audit.ts';
import { sql } from './postgres.ts';

/** A connection that idles hands in its counts after 10 s (PGSTAT_IDLE_INTERVAL). */
const STATISTICS_DELAY_MS = 11_000;
/** Leases are renewed for ever; it is the one thing that a system at rest writes. */
const LEASES = 'replica';

export interface Silence {
  /** Bulkhead's requests that change something, from the API server's audit log. */
  readonly clusterWrites: readonly AuditEntry[];
  /** All of Bulkhead's requests: at rest, watches that were opened again. */
  readonly clusterRequests: number;
  /** Rows inserted, updated or deleted, by table, from Postgres's own statistics; without the lease's. */
  readonly rowsWritten: Readonly<Record<string, number>>;
  readonly leaseRenewals: number;
}

async function rowCounts(url: string): Promise<Map<string, number>> {
  const rows = await sql<{ relname: string; written: string }>(
    url,
    `select relname, n_tup_ins + n_tup_upd + n_tup_del as written from pg_stat_user_tables where schemaname = 'bulkhead'`,
  );
  return new Map(rows.map((row) => [row.relname, Number(row.written)]));
}

/** Counts for `durationMs` what is written while nobody wants anything. */
export async function listenForSilence(
  cluster: Pick<LocalCluster, 'auditLogPath'>,
  databaseUrl: string,
  durationMs: number,
): Promise<Silence> {
  await sleep(STATISTICS_DELAY_MS);
  const before = await rowCounts(databaseUrl);
  const mark = auditMark(cluster.auditLogPath);
  await sleep(durationMs);
  const clusterWrites = await writesSince(cluster.auditLogPath, mark);
  const clusterRequests = (await auditSince(cluster.auditLogPath, mark, USER_AGENT)).length;
  await sleep(STATISTICS_DELAY_MS);
  const after = await rowCounts(databaseUrl);
  const written = [...after].map(([table, count]) => [table, count - (before.get(table) ?? 0)] as const);
  const changed = written.filter(([table, count]) => count !== 0 && table !== LEASES);
  return {
    clusterWrites,
    clusterRequests,
    rowsWritten: Object.fromEntries(changed),
    leaseRenewals: (after.get(LEASES) ?? 0) - (before.get(LEASES) ?? 0),
  };
}
