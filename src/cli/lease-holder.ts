import { openDatabase } from '../store/pool.ts';

/** The operator that owns the work, by the database's clock. */
export interface LeaseHolder {
  readonly owner: string;
  readonly epoch: number;
}

const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 5_000;

/** @returns null when nobody holds the lease: no operator runs, or the last one died. @throws StoreError */
export async function readLeaseHolder(url: string): Promise<LeaseHolder | null> {
  const db = await openDatabase({
    url,
    applicationName: 'bulkhead (lease holder)',
    maxConnections: 1,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  try {
    const [row] = await db.query<{ owner: string; epoch: string }>(
      'select owner, epoch from bulkhead.shard where id = 0 and owner is not null and expires_at > clock_timestamp()',
    );
    return row === undefined ? null : { owner: row.owner, epoch: Number(row.epoch) };
  } finally {
    await db.close();
  }
}
