import { openDatabase } from '../store/pool.ts';

const TIMEOUT_MS = 5_000;

/**
 * The database's time, in milliseconds since 1970: what ends by itself ends by that clock, and this machine's may be off.
 * @throws StoreError
 */
export async function readStoreClock(url: string): Promise<number> {
  const db = await openDatabase({
    url,
    applicationName: 'bulkhead clock',
    maxConnections: 1,
    connectTimeoutMs: TIMEOUT_MS,
    statementTimeoutMs: TIMEOUT_MS,
  });
  try {
    const [row] = await db.query<{ now: Date }>('select clock_timestamp() as now');
    if (!row) throw new TypeError('a query of one row gave none');
    return row.now.getTime();
  } finally {
    await db.close();
  }
}
