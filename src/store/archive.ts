import type { ArchivedJob, ArchivedKey, ArchivedPlatformRevision, StoreArchive } from '../job/archive.ts';
import { storeId } from '../job/ids.ts';
import type { Archivist } from '../ports/store.ts';
import { requireEmpty, restoreJobs, restoreKeys, restorePlatforms } from './archive-restore.ts';
import { type ArchiveJobRow, type ArchiveRow, timeText, toArchivedJob, toArchivedPlatform } from './archive-rows.ts';
import { readMigrations, requireCurrentSchema } from './migrate.ts';
import { type Database, openDatabase, type Sql } from './pool.ts';
import { ALL_TENANTS } from './rows.ts';

/** A whole store out of a database and into another. */

/** An archivist has a connection of its own, since a copy takes minutes, and as long as whoever takes it in. */
export interface OwnArchivist extends Archivist {
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 5_000;
const TIMEOUT_MS = 600_000;
const JOBS_AT_A_TIME = 200;
const KEYS_AT_A_TIME = 500;

const REVISION = `'revision', revision, 'content', content, 'hash', content_hash, 'author', author, 'source', source,
  'reason', reason, 'key', idempotency_key, 'at', ${timeText('created_at')}`;

const JOBS = `
  select j.id, j.tenant, j.name, ${timeText('j.created_at')} as created_at, ${timeText('j.removed_at')} as removed_at,
    (select json_agg(said order by number) from (
       select revision as number, json_build_object('layer', layer, 'until', ${timeText('until')},
         'takeOver', take_over, ${REVISION}) as said
       from bulkhead.goal_revision where job_id = j.id
       union all
       select revision, json_build_object('layer', 'scaler', 'until', null, 'takeOver', false, ${REVISION})
       from bulkhead.scaler_revision where job_id = j.id
     ) r) as revisions
  from bulkhead.job j order by j.id`;

async function readPlatforms(sql: Sql): Promise<ArchivedPlatformRevision[]> {
  const rows = await sql.query<{ scope: string; said: ArchiveRow }>(
    `select scope, json_build_object(${REVISION}) as said from bulkhead.platform_revision
     order by scope <> '${ALL_TENANTS}', scope collate "C", revision`,
  );
  return rows.map(({ scope, said }) => toArchivedPlatform({ ...said, scope }));
}

async function* readJobs(sql: Sql): AsyncGenerator<ArchivedJob, void> {
  await sql.query(`declare archived_job no scroll cursor for ${JOBS}`);
  for (;;) {
    const rows = await sql.query<ArchiveJobRow>(`fetch ${JOBS_AT_A_TIME} from archived_job`);
    yield* rows.map(toArchivedJob);
    if (rows.length < JOBS_AT_A_TIME) return;
  }
}

const KEYS = `
  select nullif(tenant, '${ALL_TENANTS}') as tenant, key, body_hash as "bodyHash", receipts::text as receipts,
    ${timeText('created_at')} as "createdAt"
  from bulkhead.idempotency order by tenant <> '${ALL_TENANTS}', tenant collate "C", key collate "C"`;

async function* readKeys(sql: Sql): AsyncGenerator<ArchivedKey, void> {
  await sql.query(`declare archived_key no scroll cursor for ${KEYS}`);
  for (;;) {
    const rows = await sql.query<ArchivedKey>(`fetch ${KEYS_AT_A_TIME} from archived_key`);
    yield* rows;
    if (rows.length < KEYS_AT_A_TIME) return;
  }
}

/** Hands items on; keeps what their source throws, so that it is told apart from the failures of who takes them in. */
async function* remembering<T>(items: AsyncIterable<T>, keep: (error: unknown) => void): AsyncGenerator<T, void> {
  try {
    yield* items;
  } catch (error) {
    keep(error);
    throw error;
  }
}

/** The store as it is at one moment, jobs in the order of their ids. */
async function readArchive(db: Database, work: (archive: StoreArchive) => Promise<void>): Promise<void> {
  let databaseError: unknown;
  let workError: unknown;
  try {
    await db.transaction(async (sql) => {
      await sql.query('set transaction isolation level repeatable read, read only');
      await sql.query(`set local intervalstyle = 'iso_8601'`);
      const [store] = await sql.query<{ id: string; retention: string }>(
        'select id, undelete_retention::text as retention from bulkhead.store',
      );
      const head = { storeId: storeId(store?.id ?? ''), undeleteRetention: store?.retention ?? '' };
      const platforms = await readPlatforms(sql);
      const keep = (error: unknown): void => {
        databaseError = error;
      };
      const [jobs, keys] = [remembering(readJobs(sql), keep), remembering(readKeys(sql), keep)];
      await work({ ...head, platforms, jobs, keys }).catch((error: unknown) => {
        workError = error;
        throw error;
      });
    });
  } catch (error) {
    // A full disk or a closed pipe on the other side is not the database's failure.
    throw databaseError === undefined ? (workError ?? error) : error;
  }
}

async function restoreArchive(db: Database, archive: StoreArchive): Promise<{ jobs: number; revisions: number }> {
  let sourceError: unknown;
  const keep = (error: unknown): void => {
    sourceError = error;
  };
  try {
    return await db.transaction(async (sql) => {
      // Asked of the right to change the store's id first: the role of run time may not.
      await sql.query('update bulkhead.store set id = $1, undelete_retention = $2::interval', [
        archive.storeId,
        archive.undeleteRetention,
      ]);
      await requireEmpty(sql, db.target);
      await restorePlatforms(sql, archive.platforms);
      const restored = await restoreJobs(sql, remembering(archive.jobs, keep));
      await restoreKeys(sql, remembering(archive.keys, keep));
      return restored;
    });
  } catch (error) {
    throw sourceError ?? error;
  }
}

/**
 * @param options.url for reading any role of the store will do; restoring wants the owner's (DATABASE_ADMIN_URL)
 * @throws StoreError as `openStore`
 */
export async function openArchivist(options: {
  readonly url: string;
  readonly applicationName: string;
}): Promise<OwnArchivist> {
  const db = await openDatabase({
    ...options,
    maxConnections: 1,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    statementTimeoutMs: TIMEOUT_MS,
  });
  try {
    await requireCurrentSchema(db, await readMigrations());
  } catch (error) {
    await db.close();
    throw error;
  }
  return {
    readArchive: (work) => readArchive(db, work),
    restoreArchive: (archive) => restoreArchive(db, archive),
    close: () => db.close(),
  };
}
