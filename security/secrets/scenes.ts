import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { bulkhead } from './bulkhead.ts';
import type { Canaries } from './canaries.ts';

/** Commands that fail with a secret in their hands: each must say what is wrong, and nothing of the secret. */

export interface Surroundings {
  readonly canaries: Canaries;
  /** Of a real database that is migrated. */
  readonly databaseUrl: string;
  /** An empty folder. */
  readonly folder: string;
}

export interface Scene {
  readonly what: string;
  /** What must be said, or the failure was another one and nothing was tried. */
  readonly says: RegExp;
  /** @returns all that was said */
  readonly run: (around: Surroundings) => Promise<string>;
}

const NOBODY = 'none';

async function withDatabase(around: Surroundings, env: Record<string, string>, args = ['get']): Promise<string> {
  return (await bulkhead(args, { KUBECONFIG: join(around.folder, NOBODY), ...env })).text;
}

function changed(url: string, change: (url: URL) => void): string {
  const other = new URL(url);
  change(other);
  return other.href;
}

const databaseScene = (
  what: string,
  says: RegExp,
  env: (secret: string, around: Surroundings) => Record<string, string> | Promise<Record<string, string>>,
  args?: string[],
): Scene => ({
  what,
  says,
  run: async (around) => withDatabase(around, await env(around.canaries.make(what), around), args),
});

const DATABASE_SCENES: readonly Scene[] = [
  databaseScene('a wrong password', /refuses the password/, (password, { databaseUrl }) => ({
    DATABASE_URL: changed(databaseUrl, (url) => Object.assign(url, { password })),
  })),
  databaseScene(
    'a wrong password of the owner',
    /refuses the password/,
    (password, { databaseUrl }) => {
      const wrong = changed(databaseUrl, (url) => Object.assign(url, { password }));
      return { DATABASE_URL: wrong, DATABASE_ADMIN_URL: wrong };
    },
    ['migrate'],
  ),
  databaseScene('a wrong PGPASSWORD', /refuses the password/, (PGPASSWORD, { databaseUrl }) => ({
    PGPASSWORD,
    DATABASE_URL: changed(databaseUrl, (url) => Object.assign(url, { password: '' })),
  })),
  databaseScene('a server that is not there', /refuses the connection/, (password) => ({
    DATABASE_URL: `postgres://app:${password}@127.0.0.1:1/bulkhead`,
  })),
  databaseScene('a server without TLS', /TLS|SSL/, (password, { databaseUrl }) => ({
    DATABASE_URL: changed(databaseUrl, (url) => {
      Object.assign(url, { password });
      url.searchParams.set('sslmode', 'verify-full');
    }),
  })),
  databaseScene('a port that is no number', /DATABASE_URL is not usable/, (password) => ({
    DATABASE_URL: `postgres://app:${password}@127.0.0.1:port/bulkhead`,
  })),
  databaseScene('a password that is badly encoded', /DATABASE_URL|refuses/, (password) => ({
    DATABASE_URL: `postgres://app:${password}%zz@127.0.0.1:1/bulkhead`,
  })),
  databaseScene('a password with an @ in it', /not usable/, (password) => ({
    DATABASE_URL: `postgres://app:${password}/@/x@127.0.0.1:1/bulkhead`,
  })),
  databaseScene('a password as a parameter', /refuses the connection/, (password) => ({
    DATABASE_URL: `postgres://127.0.0.1:1/bulkhead?user=app&password=${password}`,
  })),
  databaseScene('a key that is no key', /DATABASE_URL|Postgres/, async (secret, { databaseUrl, folder }) => {
    const file = join(folder, 'client.key');
    await writeFile(file, `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`);
    return {
      DATABASE_URL: changed(databaseUrl, ({ searchParams }) => {
        for (const name of ['sslkey', 'sslcert', 'sslrootcert']) searchParams.set(name, file);
        searchParams.set('sslmode', 'verify-full');
      }),
    };
  }),
];

interface Api {
  readonly server: string;
  readonly close: () => void;
}

/** An API server that answers everything so, after it has got our credentials. */
async function answering(code: number, body: string, type = 'application/json'): Promise<Api> {
  const server = createServer(
    (_request, response) => void response.writeHead(code, { 'content-type': type }).end(body),
  );
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  if (address === null || typeof address !== 'object') throw new Error('the stub API server has no address');
  return { server: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}

interface Kubeconfig {
  readonly user: Record<string, unknown>;
  readonly cluster?: Record<string, unknown>;
  /** What follows in the file. */
  readonly rest?: string;
}

async function withKubeconfig(around: Surroundings, server: string, kubeconfig: Kubeconfig): Promise<string> {
  const { user, cluster = {}, rest = '' } = kubeconfig;
  const path = join(around.folder, 'kubeconfig');
  const text = stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true, ...cluster } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    users: [{ name: 'u', user }],
  });
  await writeFile(path, text + rest);
  const env = { DATABASE_URL: around.databaseUrl, KUBECONFIG: path };
  const commands = [['orphans'], ['run', '--yes', '--health-address', 'none']];
  const said = await Promise.all(commands.map((args) => bulkhead(args, env)));
  return said.map(({ text: one }) => one).join('\n');
}

const clusterScene = (
  what: string,
  says: RegExp,
  kubeconfig: (secret: string) => Kubeconfig,
  answer: readonly [code: number, body: string] = [401, '{"kind":"Status","code":401,"message":"Unauthorized"}'],
): Scene => ({
  what,
  says,
  run: async (around) => {
    const api = await answering(...answer);
    try {
      return await withKubeconfig(around, api.server, kubeconfig(around.canaries.make(what)));
    } finally {
      api.close();
    }
  },
});

const FORBIDDEN = [403, '{"kind":"Status","code":403,"message":"pods is forbidden"}'] as const;

const CLUSTER_SCENES: readonly Scene[] = [
  clusterScene('a token that is refused', /does not accept the credentials/, (token) => ({ user: { token } })),
  clusterScene('a token without rights', /forbidden|refuses/, (token) => ({ user: { token } }), FORBIDDEN),
  clusterScene('a token before a cut answer', /no JSON|cut/, (token) => ({ user: { token } }), [200, '{"kind":']),
  clusterScene('a token before a proxy’s page', /502/, (token) => ({ user: { token } }), [502, '<html>bad gateway']),
  clusterScene('a password of the API', /does not accept/, (password) => ({ user: { username: 'ann', password } })),
  clusterScene('a kubeconfig that is no YAML', /it is no YAML .*line \d+/, (token) => ({
    user: { token },
    rest: `users:\n- {name: x, user: {token: ${token}\n  broken: [\n`,
  })),
  clusterScene('a kubeconfig that says a token twice', /it is no YAML .*line \d+/, (token) => ({
    user: {},
    rest: `users: [{name: u, user: {token: "${token}", token: "${token}"}}]\n`,
  })),
  clusterScene('a client key that is no key', /credentials|certificate|kubeconfig|API server/, (secret) => ({
    user: {
      'client-key-data': Buffer.from(secret).toString('base64'),
      'client-certificate-data': Buffer.from(secret).toString('base64'),
    },
    cluster: { server: 'https://127.0.0.1:1' },
  })),
  clusterScene('a proxy’s password', /API server|proxy|credentials/i, (password) => ({
    user: { token: 'none' },
    cluster: { 'proxy-url': `http://ann:${password}@127.0.0.1:1` },
  })),
  clusterScene('a plugin that fails with a token in hand', /credentials|API server/, (token) => ({
    user: {
      exec: {
        apiVersion: 'client.authentication.k8s.io/v1',
        interactiveMode: 'Never',
        command: process.execPath,
        args: ['-e', 'console.log(process.env.SECRET_TOKEN); process.exit(1)'],
        env: [{ name: 'SECRET_TOKEN', value: token }],
      },
    },
  })),
];

/** `quick` takes one of each kind. */
export const scenes = (quick: boolean): readonly Scene[] =>
  quick
    ? [DATABASE_SCENES[0], CLUSTER_SCENES[0]].filter((scene) => scene !== undefined)
    : [...DATABASE_SCENES, ...CLUSTER_SCENES];

/** What a scene let out; empty when it held. */
export async function sceneFindings(scene: Scene, around: Surroundings): Promise<string[]> {
  const text = await scene.run(around);
  const leaked = around.canaries.in(text).map((what) => `${scene.what}: the secret of “${what}” is said`);
  if (scene.says.test(text)) return leaked;
  return [...leaked, `${scene.what}: another failure than the one that was meant: ${text.trim().slice(0, 300)}`];
}
