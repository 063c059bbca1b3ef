import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { commandLine } from '../../src/store/embedded/binaries.ts';
import {
  APP_ROLE,
  createFolder,
  DATABASE,
  ROLE,
  readLine,
  type ServerFolder,
  SUPERUSER,
  serverFolder,
} from '../../src/store/embedded/folder.ts';
import { findFreePort } from '../../src/store/embedded/port.ts';
import { findServer, startServer, stopServer } from '../../src/store/embedded/server.ts';
import { run } from '../cluster/progress.ts';
import { debianPostgres } from './debian-postgres.ts';
import { ownFolder, sql } from './postgres.ts';
import { until } from './until.ts';
import { WireProxy } from './wire.ts';

/**
 * A primary and a synchronous streaming standby of it, from Debian's package, and one address that leads to whichever is
 * the primary, as a load balancer would. All in the folder of this process's servers, which the next one sweeps.
 */
export interface PostgresServer {
  /** Of the role that Bulkhead runs as. */
  readonly url: string;
  /** Of the role that owns the database. */
  readonly adminUrl: string;
  readonly appRole: string;
  readonly superuserUrl: string;
  /** SIGKILL. */
  kill(): Promise<void>;
}

export interface PostgresPair {
  readonly primary: PostgresServer;
  readonly standby: PostgresServer;
  /** Leads new connections to the primary until {@link switchOver}; old ones stay where they are. */
  readonly address: WireProxy;
  /** At that address, of the role that Bulkhead runs as. */
  readonly url: string;
  /** Makes the standby a primary, on a new timeline; the old one lives on and waits for a standby with every commit. */
  promote(): Promise<void>;
  /** New connections lead to the former standby. */
  switchOver(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

const STANDBY_NAME = 'standby';
/** Nothing outlives the processes here, so nothing has to outlive a power cut. */
const SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  listen_addresses: '127.0.0.1',
  max_connections: '100',
  shared_buffers: '64MB',
  unix_socket_directories: '',
  wal_level: 'replica',
};
const READY_LIMIT_MS = 30_000;

async function startIn(folder: ServerFolder, bin: string, port: number): Promise<PostgresServer> {
  const rules = [`host all all 127.0.0.1/32 scram-sha-256`, `host replication all 127.0.0.1/32 scram-sha-256`];
  await writeFile(folder.hba, rules.map((rule) => `${rule}\n`).join(''), { mode: 0o600 });
  const settings = { ...SETTINGS, hba_file: folder.hba, port: String(port) };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  await startServer(folder, { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') }, args);
  const at = `127.0.0.1:${port}/${DATABASE}`;
  return {
    url: `postgres://${APP_ROLE}:${await readLine(folder.appPassword)}@${at}`,
    adminUrl: `postgres://${ROLE}:${await readLine(folder.password)}@${at}`,
    appRole: APP_ROLE,
    superuserUrl: `postgres://${SUPERUSER}:${await readLine(folder.superuserPassword)}@${at}`,
    kill: async () => {
      const server = await findServer(folder);
      if (server) process.kill(server.pid, 'SIGKILL');
      await until('the server is gone', READY_LIMIT_MS, async () => (await findServer(folder)) === null);
    },
  };
}

/** A copy of a running primary that follows it. */
async function copyTo(folder: ServerFolder, primary: ServerFolder, superuserUrl: string, bin: string): Promise<void> {
  await mkdir(folder.root, { mode: 0o700 });
  for (const file of [primary.password, primary.appPassword, primary.superuserPassword]) {
    await copyFile(file, join(folder.root, basename(file)));
  }
  const from = new URL(superuserUrl);
  from.searchParams.set('application_name', STANDBY_NAME);
  const args = ['-D', folder.data, '-d', from.href, '-R', '-X', 'stream', '-c', 'fast'];
  const [command, ...rest] = await commandLine(join(bin, 'pg_basebackup'), args);
  await run(command, rest, { cwd: folder.root });
}

async function waitsForStandby(superuserUrl: string): Promise<boolean> {
  const [row] = await sql<{ sync_state: string }>(superuserUrl, 'select sync_state from pg_stat_replication');
  return row?.sync_state === 'sync';
}

/** Both run, and no commit of the primary is answered before the standby has it. @param name of its folders */
export async function postgresPair(name = 'pair'): Promise<PostgresPair> {
  const bin = await debianPostgres();
  const own = await ownFolder();
  const [first, second] = [serverFolder(join(own, `${name}-a`)), serverFolder(join(own, `${name}-b`))];
  await createFolder(first, { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') });
  const primary = await startIn(first, bin, await findFreePort());
  await copyTo(second, first, primary.superuserUrl, bin);
  const standby = await startIn(second, bin, await findFreePort());
  await sql(primary.superuserUrl, `alter system set synchronous_standby_names = '${STANDBY_NAME}'`);
  await sql(primary.superuserUrl, 'select pg_reload_conf()');
  await until('the standby is synchronous', READY_LIMIT_MS, () => waitsForStandby(primary.superuserUrl));
  const portOf = (url: string) => ({ host: '127.0.0.1', port: Number(new URL(url).port) });
  const address = await WireProxy.to(portOf(primary.url));
  return {
    primary,
    standby,
    address,
    url: address.urlFor(primary.url),
    promote: async () => {
      await sql(standby.superuserUrl, 'select pg_promote(true, 60)');
    },
    switchOver: () => {
      address.target = portOf(standby.url);
    },
    [Symbol.asyncDispose]: async () => {
      await address[Symbol.asyncDispose]();
      for (const folder of [first, second]) {
        const server = await findServer(folder);
        if (server) await stopServer(folder, server);
      }
    },
  };
}
