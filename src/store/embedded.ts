import { existsSync } from 'node:fs';
import { mkdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { StoreError } from '../ports/store.ts';
import { makeAppRole } from './embedded/app-role.ts';
import { type Binaries, findBinaries } from './embedded/binaries.ts';
import {
  APP_ROLE,
  createFolder,
  DATABASE,
  ROLE,
  readLine,
  requireSpace,
  type ServerFolder,
  SUPERUSER,
  serverFolder,
} from './embedded/folder.ts';
import { withLock } from './embedded/lock.ts';
import { becomesFree, describeHolder, findFreePort, isFree, isReachable } from './embedded/port.ts';
import { findServer, type RunningServer, settle, startServer, stopServer } from './embedded/server.ts';

/**
 * A real Postgres for those who name none by DATABASE_URL: a daemon with its data in this checkout, started by the
 * first command that needs it and used by all later ones, also after whatever was killed.
 */
export interface EmbeddedOptions {
  /** Folder of the server; by default `postgres` in $BULKHEAD_DATA_DIR, or in .bulkhead/ of this checkout. */
  readonly folder?: string;
  /** By default $BULKHEAD_DATABASE_PORT, else a free one that is chosen once. */
  readonly port?: number;
  /**
   * Addresses of this machine to listen on beside 127.0.0.1, for pods of a local cluster. They are remembered. Only the
   * role `bulkhead_app` gets in that way, with its password.
   */
  readonly listen?: readonly string[];
  /** Settings of Postgres beside ours; for tests. They count when the server is started. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly minFreeBytes?: number;
  /** Takes a sentence about what takes time. */
  readonly log?: (line: string) => void;
}

export interface EmbeddedServer {
  /** postgres://… of the role that Bulkhead runs as, once {@link adminUrl} was migrated. Holds the password. */
  readonly url: string;
  /** The same for the role that owns the database and migrates it. */
  readonly adminUrl: string;
  /** The name of the role in {@link url}, for `migrate`. */
  readonly appRole: string;
  /** The same server as superuser, from this machine only. */
  readonly superuserUrl: string;
  /** Whether this call started it. */
  readonly started: boolean;
}

export type EmbeddedStatus =
  | { readonly state: 'absent' | 'stopped'; readonly folder: string; readonly log: string }
  | {
      readonly state: 'running';
      readonly folder: string;
      readonly log: string;
      readonly pid: number;
      readonly port: number;
      /** Addresses that it was told to listen on. */
      readonly listen: readonly string[];
    };

const LOOPBACK = '127.0.0.1';
const MIN_FREE_BYTES = 200 * 1024 * 1024;
const CHECKOUT = resolve(import.meta.dirname, '../..');

/** Small, durable, and with room for operators, people and a pooler's worth of tests. */
const SETTINGS: Readonly<Record<string, string>> = {
  cluster_name: 'bulkhead',
  fsync: 'on',
  max_connections: '100',
  max_wal_size: '256MB',
  shared_buffers: '64MB',
  unix_socket_directories: '',
};

async function folderOf(options: EmbeddedOptions): Promise<ServerFolder> {
  const state = process.env.BULKHEAD_DATA_DIR || join(CHECKOUT, '.bulkhead');
  const wanted = resolve(options.folder ?? join(state, 'postgres'));
  try {
    await mkdir(dirname(wanted), { recursive: true });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StoreError('configuration', `${dirname(wanted)} cannot be made (${why}): set BULKHEAD_DATA_DIR.`);
  }
  // The one true path: the server is recognised by it.
  return serverFolder(join(await realpath(dirname(wanted)), basename(wanted)));
}

/** The port somebody insists on, or null. */
function fixedPort(options: EmbeddedOptions): number | null {
  const text = options.port?.toString() ?? process.env.BULKHEAD_DATABASE_PORT ?? '';
  if (text === '') return null;
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new StoreError('configuration', `BULKHEAD_DATABASE_PORT is ${JSON.stringify(text)}: expected 1 to 65535.`);
}

async function choosePort(folder: ServerFolder, options: EmbeddedOptions): Promise<number> {
  const fixed = fixedPort(options);
  const kept = Number(await readFile(folder.port, 'utf8').catch(() => ''));
  const port = fixed ?? (kept > 0 ? kept : await findFreePort());
  if (!(await becomesFree(port))) {
    const remedy =
      fixed === null
        ? `stop it, or set BULKHEAD_DATABASE_PORT to another port, or delete ${folder.port} to have one chosen`
        : 'stop it, or set BULKHEAD_DATABASE_PORT to another port';
    throw new StoreError(
      'configuration',
      `Port ${port} of the database is taken by ${await describeHolder(port)}: ${remedy}.`,
    );
  }
  if (fixed === null && kept !== port) await writeFile(folder.port, `${port}\n`);
  return port;
}

async function rememberedListen(folder: ServerFolder): Promise<string[]> {
  const lines = (await readFile(folder.listen, 'utf8').catch(() => '')).split('\n');
  return lines.map((line) => line.trim()).filter((line) => line !== '');
}

const furtherAddresses = (options: EmbeddedOptions): string[] => (options.listen ?? []).filter((a) => a !== LOOPBACK);

/** Those of `addresses` that this machine has right now: a bridge of a cluster that is gone takes its address along. */
async function owned(addresses: readonly string[]): Promise<string[]> {
  const own = await Promise.all(addresses.map((address) => isFree(0, address)));
  return addresses.filter((_, index) => own[index] === true);
}

/** Addresses that are wanted now or were before and still are this machine's. @throws StoreError when one is not */
async function chooseListen(folder: ServerFolder, options: EmbeddedOptions): Promise<string[]> {
  const wanted = furtherAddresses(options);
  const own = await owned(wanted);
  const foreign = wanted.find((address) => !own.includes(address));
  if (foreign !== undefined) {
    throw new StoreError(
      'configuration',
      `The database cannot listen on ${foreign}: no network interface has it. Name an address of this machine.`,
    );
  }
  const addresses = [...new Set([...(await rememberedListen(folder)), ...wanted])];
  await writeFile(folder.listen, addresses.map((address) => `${address}\n`).join(''));
  return await owned(addresses);
}

async function writeAccessRules(folder: ServerFolder, listen: readonly string[]): Promise<void> {
  const rules = [`host all all ${LOOPBACK}/32 scram-sha-256`];
  if (listen.length > 0) rules.push(`host ${DATABASE} ${APP_ROLE} all scram-sha-256`);
  await writeFile(folder.hba, rules.map((rule) => `${rule}\n`).join(''), { mode: 0o600 });
}

async function start(folder: ServerFolder, binaries: Binaries, options: EmbeddedOptions): Promise<RunningServer> {
  const log = options.log ?? (() => undefined);
  const startedAt = performance.now();
  await requireSpace(dirname(folder.root), options.minFreeBytes ?? MIN_FREE_BYTES);
  if (!existsSync(folder.root)) {
    log(`Making a Postgres database in ${folder.root} (takes about 2 s, once).`);
    await createFolder(folder, binaries);
  }
  const listen = await chooseListen(folder, options);
  const port = await choosePort(folder, options);
  await writeAccessRules(folder, listen);
  const settings = {
    ...SETTINGS,
    ...options.settings,
    hba_file: folder.hba,
    listen_addresses: [LOOPBACK, ...listen].join(','),
    port: String(port),
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = await startServer(folder, binaries, args);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  log(`Postgres runs on ${LOOPBACK}:${port} (pid ${server.pid}, ready after ${seconds} s).`);
  return server;
}

/** @throws StoreError when the server runs on another port than the one insisted on */
function requirePort(server: RunningServer, options: EmbeddedOptions): void {
  const fixed = fixedPort(options);
  if (fixed === null || fixed === server.port) return;
  throw new StoreError(
    'configuration',
    `The database runs on port ${server.port}, not on BULKHEAD_DATABASE_PORT=${fixed}: ` +
      'run "bulkhead database stop" first, or unset the variable.',
  );
}

async function unreachable(server: RunningServer, options: EmbeddedOptions): Promise<string[]> {
  const wanted = furtherAddresses(options);
  const reachable = await Promise.all(wanted.map((address) => isReachable(address, server.port)));
  return wanted.filter((_, index) => reachable[index] !== true);
}

async function urlOf(server: RunningServer, role: string, passwordFile: string): Promise<string> {
  return `postgres://${role}:${await readLine(passwordFile)}@${LOOPBACK}:${server.port}/${DATABASE}`;
}

async function describe(folder: ServerFolder, server: RunningServer, started: boolean): Promise<EmbeddedServer> {
  return {
    url: await urlOf(server, APP_ROLE, folder.appPassword),
    adminUrl: await urlOf(server, ROLE, folder.password),
    appRole: APP_ROLE,
    superuserUrl: await urlOf(server, SUPERUSER, folder.superuserPassword),
    started,
  };
}

const hasAppRole = (folder: ServerFolder): boolean => existsSync(folder.appPassword);

/** Folders of earlier versions lack the role that Bulkhead runs as. Call it under the lock, with a server that is ready. */
async function addAppRole(folder: ServerFolder, server: RunningServer, log: (line: string) => void): Promise<void> {
  if (hasAppRole(folder)) return;
  log(`Adding the role ${APP_ROLE}, which Bulkhead runs as from now on.`);
  await writeAccessRules(folder, await rememberedListen(folder));
  await makeAppRole(folder, await urlOf(server, SUPERUSER, folder.superuserPassword));
}

/**
 * Makes sure that the embedded server runs and takes connections, also on every address of `listen` (for which a server
 * that runs already is restarted if need be).
 * @throws StoreError `configuration` with the remedy: no disk space, port taken, not installed, …
 */
export async function ensureEmbedded(options: EmbeddedOptions = {}): Promise<EmbeddedServer> {
  const folder = await folderOf(options);
  const log = options.log ?? (() => undefined);
  const isFine = async (server: RunningServer | null): Promise<boolean> =>
    server?.ready === true && hasAppRole(folder) && (await unreachable(server, options)).length === 0;
  const found = await findServer(folder);
  if (found !== null && (await isFine(found))) {
    requirePort(found, options);
    return await describe(folder, found, false);
  }
  return await withLock(folder.lock, log, async () => {
    const settled = await settle(folder);
    if (settled !== null) {
      requirePort(settled, options);
      await addAppRole(folder, settled, log);
      if (await isFine(settled)) return await describe(folder, settled, false);
      // Checked before anything is stopped: an address that is not this machine's must not cost the running server.
      await chooseListen(folder, options);
      log(`Restarting Postgres so that it listens on ${(await unreachable(settled, options)).join(', ')} too.`);
      await stopServer(folder, settled);
    }
    const server = await start(folder, await findBinaries(), options);
    await addAppRole(folder, server, log);
    return await describe(folder, server, true);
  });
}

/** Stops the embedded server. @returns whether one ran */
export async function stopEmbedded(options: EmbeddedOptions = {}): Promise<boolean> {
  const folder = await folderOf(options);
  return await withLock(folder.lock, options.log ?? (() => undefined), async () => {
    const server = await findServer(folder);
    if (server === null) return false;
    await stopServer(folder, server);
    return true;
  });
}

/** Looks without starting anything. */
export async function embeddedStatus(options: EmbeddedOptions = {}): Promise<EmbeddedStatus> {
  const folder = await folderOf(options);
  const where = { folder: folder.root, log: folder.log };
  const server = await findServer(folder);
  if (server === null) return { state: existsSync(folder.root) ? 'stopped' : 'absent', ...where };
  const listen = [LOOPBACK, ...(await rememberedListen(folder))];
  return { state: 'running', ...where, pid: server.pid, port: server.port, listen };
}
