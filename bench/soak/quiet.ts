import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from '../../test/support/postgres.ts';
import { AuditTail, isWrite, userOf } from '../lab/index.ts';

/** A connection that idles hands in its counts after 10 s (PGSTAT_IDLE_INTERVAL). */
export const STATISTICS_DELAY_MS = 11_000;
/** Leases are renewed for ever; it is the one thing that a system at rest writes. */
const LEASES = 'replica';

/** What was written while nobody wanted anything. */
export interface Quiet {
  readonly seconds: number;
  /** Each write that Bulkhead sent to the API server: `patch /apis/…`. */
  readonly clusterWrites: readonly string[];
  /** Rows inserted, updated or deleted, by table, without the lease's. */
  readonly rowsWritten: Readonly<Record<string, number>>;
}

export const writesIn = ({ clusterWrites, rowsWritten }: Quiet): number =>
  clusterWrites.length + Object.values(rowsWritten).reduce((a, b) => a + b, 0);

async function rowCounts(url: string): Promise<ReadonlyMap<string, number>> {
  const rows = await sql<{ relname: string; written: string }>(
    url,
    `select relname, n_tup_ins + n_tup_upd + n_tup_del as written from pg_stat_user_tables where schemaname = 'bulkhead'`,
  );
  return new Map(rows.map(({ relname, written }) => [relname, Number(written)]));
}

/**
 * Counts for `durationMs` what Bulkhead writes. Nobody else may write then, and nobody may have done so for
 * {@link STATISTICS_DELAY_MS}.
 * @param delayMs that much longer it takes, for the last counts to be handed in
 */
export async function listenQuietly(
  auditLogPath: string,
  superuserUrl: string,
  durationMs: number,
  delayMs: number,
  signal: AbortSignal,
): Promise<Quiet> {
  const before = await rowCounts(superuserUrl);
  await using tail = await AuditTail.from(auditLogPath);
  const startedAt = performance.now();
  await pause(durationMs, signal);
  const seconds = (performance.now() - startedAt) / 1000;
  const user = userOf('bulkhead');
  const writes = (await tail.read()).filter((request) => request.user === user && isWrite(request));
  await pause(delayMs, signal);
  const after = await rowCounts(superuserUrl);
  const written = [...after].map(([table, count]) => [table, count - (before.get(table) ?? 0)] as const);
  return {
    seconds,
    clusterWrites: writes.map(({ verb, uri }) => `${verb} ${uri}`),
    rowsWritten: Object.fromEntries(written.filter(([table, count]) => count !== 0 && table !== LEASES)),
  };
}

/** Sleeps, and no longer once it is to end. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);
