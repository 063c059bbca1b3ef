import { type Shard, shard } from '../job/ids.ts';
import { openDatabase } from '../store/pool.ts';

/** What a store is, as far as only a person wants to know. */
export interface StoreFacts {
  /** Postgres's system identifier. */
  readonly system: string;
  readonly timeline: number;
  readonly schemaVersion: number;
  /** How long a removed job keeps its name, in milliseconds. */
  readonly undeleteRetentionMs: number;
  /** The number that each shard was last claimed under. */
  readonly epochs: ReadonlyMap<Shard, number>;
}

const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 5_000;

const FACTS = `
  select bulkhead.system_identifier() as system, bulkhead.timeline() as timeline,
    (select max(version) from bulkhead.migration) as version,
    extract(epoch from s.undelete_retention)::float8 * 1000 as retention,
    (select json_agg(json_build_array(id, epoch)) from bulkhead.shard) as epochs
  from bulkhead.store s`;

interface FactsRow {
  readonly system: string;
  readonly timeline: number;
  readonly version: number;
  readonly retention: number;
  readonly epochs: readonly (readonly [number, number])[] | null;
}

/** @throws StoreError */
export async function readStoreFacts(url: string): Promise<StoreFacts> {
  const db = await openDatabase({
    url,
    applicationName: 'bulkhead store',
    maxConnections: 1,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  try {
    const [row] = await db.query<FactsRow>(FACTS);
    if (!row) throw new TypeError('bulkhead.store has no row');
    return {
      system: row.system,
      timeline: row.timeline,
      schemaVersion: row.version,
      undeleteRetentionMs: row.retention,
      epochs: new Map((row.epochs ?? []).map(([id, epoch]) => [shard(id), epoch])),
    };
  } finally {
    await db.close();
  }
}
