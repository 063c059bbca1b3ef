import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  APP_ROLE,
  createFolder,
  DATABASE,
  ROLE,
  readLine,
  type ServerFolder,
  serverFolder,
} from '../../../../src/store/embedded/folder.ts';

/**
 * The first process of a container with the Postgres of manifests/overlays/dev: makes the database, with passwords that
 * nobody chose, runs it, and tells the operator where it is by filling the Secret that the operator waits for.
 */

const VOLUME = '/var/lib/postgres';
const BINARIES = { initdb: '/opt/postgres/bin/initdb', postgres: '/opt/postgres/bin/postgres' };
const PORT = 5432;
/** Where pods find it: the Service of the overlay. */
const HOST = 'bulkhead-postgres.bulkhead-postgres.svc';
const SECRET_PATH = '/api/v1/namespaces/bulkhead-system/secrets/bulkhead-database';
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** There once the operator has been told: what the readiness probe asks for. */
const READY = '/tmp/ready';
const CALL_TIMEOUT_MS = 5_000;
const LISTENS_POLL_MS = 200;
/** How soon a Secret that was deleted and applied again, empty, is filled. */
const PUBLISH_EVERY_MS = 5_000;

const SETTINGS: Readonly<Record<string, string>> = {
  cluster_name: 'bulkhead',
  listen_addresses: '*',
  max_wal_size: '256MB',
  port: String(PORT),
  shared_buffers: '64MB',
  unix_socket_directories: '',
};

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function prepare(): Promise<ServerFolder> {
  // Of the container before this one, in the same pod.
  await rm(READY, { force: true });
  const folder = serverFolder(join(VOLUME, 'server'));
  if (!existsSync(folder.root)) {
    say('Making the database.');
    await createFolder(folder, BINARIES);
  }
  await writeFile(folder.hba, `host ${DATABASE} ${ROLE},${APP_ROLE} all scram-sha-256\n`, { mode: 0o600 });
  // Of a container that was killed. Its process id may be anybody's here, and Postgres would take it for a server that
  // still runs; there is none, since a StatefulSet starts no second pod before the first is gone.
  await rm(join(folder.data, 'postmaster.pid'), { force: true });
  return folder;
}

/** Runs the server; this process ends with it. */
function start(folder: ServerFolder): void {
  const settings = { ...SETTINGS, hba_file: folder.hba };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = spawn(BINARIES.postgres, ['-D', folder.data, ...args], { stdio: 'inherit' });
  // Postgres's fast shutdown: sessions are ended, and nothing that was committed is lost.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => server.kill('SIGINT'));
  server.once('error', (error) => {
    say(`Postgres cannot be started: ${error.message}`);
    process.exit(1);
  });
  server.once('exit', (code) => process.exit(code ?? 1));
}

const listens = (): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(PORT, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

/** One call to the API server, as this pod's account. @returns the JSON of a 2xx @throws Error on anything else */
async function call(method: 'GET' | 'PATCH', body?: object): Promise<unknown> {
  const [token, ca] = await Promise.all(['token', 'ca.crt'].map((name) => readFile(join(ACCOUNT, name), 'utf8')));
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
  return await new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token?.trim()}`, 'content-type': 'application/merge-patch+json' };
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
    const sent = request({ host, port, ca, method, path: SECRET_PATH, headers, signal }, async (response) => {
      const answer = await text(response).catch((error: unknown) => messageOf(error));
      if (response.statusCode === 200) resolve(JSON.parse(answer));
      else reject(new Error(`${method} ${SECRET_PATH}: ${response.statusCode} ${answer.slice(0, 300)}`));
    });
    sent.once('error', reject).end(body && JSON.stringify(body));
  });
}

async function urlsOf(folder: ServerFolder): Promise<Record<string, string>> {
  const url = async (role: string, file: string) =>
    Buffer.from(`postgres://${role}:${await readLine(file)}@${HOST}:${PORT}/${DATABASE}?sslmode=disable`).toString(
      'base64',
    );
  return { url: await url(APP_ROLE, folder.appPassword), 'admin-url': await url(ROLE, folder.password) };
}

/** Fills the Secret whenever it is there and does not say what it should. At rest it only looks. */
async function publish(folder: ServerFolder): Promise<never> {
  const wanted = await urlsOf(folder);
  let said = '';
  for (;;) {
    try {
      const { data = {} } = (await call('GET')) as { data?: Record<string, string> };
      if (Object.entries(wanted).some(([key, value]) => data[key] !== value)) {
        await call('PATCH', { data: wanted });
        say('The Secret bulkhead-system/bulkhead-database now says where this database is.');
      }
      await writeFile(READY, '');
      said = '';
    } catch (error) {
      // The operator's namespace may be away for hours; what is wrong is said once.
      if (messageOf(error) !== said) say(`The Secret cannot be filled yet: ${messageOf(error)}`);
      said = messageOf(error);
    }
    await sleep(PUBLISH_EVERY_MS);
  }
}

try {
  const folder = await prepare();
  start(folder);
  while (!(await listens())) await sleep(LISTENS_POLL_MS);
  await publish(folder);
} catch (error) {
  say(messageOf(error));
  process.exit(1);
}
