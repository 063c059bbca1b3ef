import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { commandLine } from '../../src/store/embedded/binaries.ts';
import { findFreePort } from '../../src/store/embedded/port.ts';
import { pgbouncerProgram } from './debian-postgres.ts';
import { ownFolder, sql } from './postgres.ts';
import { spawnBound } from './processes.ts';
import { until } from './until.ts';

/** Debian's pooler in transaction mode: each transaction may run on another of few server connections. */
export interface Pooler {
  /** The same database and role, by way of the pooler. */
  readonly url: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Fewer than a replica opens towards it, so that they are really shared. */
const SERVER_CONNECTIONS = 4;
const START_LIMIT_MS = 10_000;

export async function startPooler(url: string): Promise<Pooler> {
  const to = new URL(url);
  const [database, role, password] = [to.pathname.slice(1), to.username, to.password].map(decodeURIComponent);
  const port = await findFreePort();
  const folder = join(await ownFolder(), `pgbouncer-${port}`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const config = join(folder, 'pgbouncer.ini');
  const lines = [
    '[databases]',
    `${database} = host=${to.hostname} port=${to.port} dbname=${database} user=${role} password=${password}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    'pool_mode = transaction',
    `default_pool_size = ${SERVER_CONNECTIONS}`,
    'max_client_conn = 200',
    `logfile = ${join(folder, 'log')}`,
  ];
  await writeFile(config, lines.map((line) => `${line}\n`).join(''), { mode: 0o600 });
  const child = spawnBound(await commandLine(await pgbouncerProgram(), [config]), { cwd: folder });
  const through = new URL(url);
  through.host = `127.0.0.1:${port}`;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await until('pgbouncer answers', START_LIMIT_MS, async () => {
    if (child.exitCode !== null) throw new Error(`pgbouncer ended with ${child.exitCode}: see ${join(folder, 'log')}`);
    return await sql(through.href, 'select 1').then(
      () => true,
      () => false,
    );
  });
  return {
    url: through.href,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
