import { type OwnServer, ownServer } from '../../faults/own-server.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openStore, type Store } from '../../src/store/open.ts';
import { inDatabase, sql } from '../../test/support/postgres.ts';
import { parentOf } from './processes.ts';

/** A database with a store, on a durable Postgres of the benchmark's own. */
export interface BenchDatabase {
  /** Of the role that Bulkhead runs as. */
  readonly url: string;
  readonly adminUrl: string;
  readonly superuserUrl: string;
  readonly store: Store;
  /** Closes the store and drops the database. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A durable Postgres: commits wait for the disk, autovacuum runs. One for a benchmark; a database for each round. */
export interface BenchPostgres {
  readonly superuserUrl: string;
  /** Of the postmaster; its children are the backends (see `treeCpuSeconds`). */
  readonly pid: number;
  database(): Promise<BenchDatabase>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** @param name of its folder: no two in one process may share it */
export async function benchPostgres(
  name: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<BenchPostgres> {
  const server = await ownServer(`bench-${name}`, settings);
  const [checkpointer] = await sql<{ pid: number }>(
    server.superuserUrl,
    "select pid from pg_stat_activity where backend_type = 'checkpointer'",
  );
  const pid = checkpointer && parentOf(checkpointer.pid);
  if (!pid) throw new Error('the process id of Postgres is not to be found');
  let count = 0;
  return {
    superuserUrl: server.superuserUrl,
    pid,
    database: async () => {
      count += 1;
      return await makeDatabase(server, `bench_${count}`);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function makeDatabase(server: OwnServer, name: string): Promise<BenchDatabase> {
  await sql(server.superuserUrl, `create database ${name} owner bulkhead`);
  const [url, adminUrl, superuserUrl] = [
    inDatabase(server.url, name),
    inDatabase(server.adminUrl, name),
    inDatabase(server.superuserUrl, name),
  ];
  await migrate(adminUrl, { appRole: server.appRole });
  const store = await openStore({ url, applicationName: 'bench' });
  return {
    url,
    adminUrl,
    superuserUrl,
    store,
    [Symbol.asyncDispose]: async () => {
      await store.close();
      await sql(server.superuserUrl, `drop database ${name} with (force)`);
    },
  };
}
