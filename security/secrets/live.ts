import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { execa } from 'execa';
import { parse, stringify } from 'yaml';
import { cellNamespace } from '../../src/plan/names.ts';
import { findFreePort } from '../../src/store/embedded/port.ts';
import { type LocalCluster, up } from '../../test/cluster/index.ts';
import { localkube } from '../../test/cluster/localkube.ts';
import { applyJob, untilPhase } from '../../test/support/operator.ts';
import { sql, type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { until } from '../../test/support/until.ts';
import { renderManifests } from '../manifests/render.ts';
import { bulkhead } from './bulkhead.ts';
import type { Canaries } from './canaries.ts';

/**
 * The real operator at work, as its service account, with secrets in its hands and in its cells, and while both are
 * taken away from it. Everything that it says or leaves behind is read.
 */

const CHECKOUT = resolve(import.meta.dirname, '../..');
const CLUSTER = 'security';
const ACCESS = /^(Namespace|ServiceAccount|ClusterRole|ClusterRoleBinding|Role|RoleBinding|CustomResourceDefinition)$/;
const TROUBLE_MS = 5_000;
const JOB = 'ads/clicks';

type Kubectl = (args: readonly string[], input?: string) => Promise<string>;

async function kubectlOn(cluster: LocalCluster): Promise<Kubectl> {
  const binary = await localkube();
  return async (args, input = '') =>
    (await execa(binary, ['kubectl', `--kubeconfig=${cluster.kubeconfigPath}`, ...args], { input })).stdout;
}

/** The operator's account with its rights and no more, as an installation makes it. @returns its kubeconfig */
async function operatorKubeconfig(kubectl: Kubectl, around: Around): Promise<string> {
  const { objects } = await renderManifests('overlays/production');
  const access = objects.filter(({ kind }) => ACCESS.test(kind)).map((object) => stringify(object));
  await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], access.join('---\n'));
  const token = await kubectl(['create', 'token', 'bulkhead-operator', '--namespace=bulkhead-system']);
  around.canaries.watch('the token of the operator', token.trim());
  const kubeconfig = parse(await kubectl(['config', 'view', '--raw'])) as { users: { user: unknown }[] };
  for (const entry of kubeconfig.users) entry.user = { token: token.trim() };
  const path = join(around.folder, 'operator.kubeconfig');
  await writeFile(path, stringify(kubeconfig));
  return path;
}

interface Around {
  readonly canaries: Canaries;
  readonly folder: string;
}

interface Login {
  readonly role: string;
  readonly url: string;
}

/** A role with a password of its own beside that which other tests share. */
async function makeLogin(database: TestDatabase, canaries: Canaries): Promise<Login> {
  const role = `security_${randomBytes(4).toString('hex')}`;
  const password = canaries.make('the password of the database');
  const shared = decodeURIComponent(new URL(database.url).username);
  await sql(database.superuserUrl, `create role ${role} login password '${password}' in role ${shared}`);
  const url = new URL(database.url);
  Object.assign(url, { username: role, password });
  return { role, url: url.href };
}

/** Ends the operator's connections and lets none come in again, then the same with its rights in the cluster. */
async function trouble(database: TestDatabase, { role }: Login, kubectl: Kubectl): Promise<void> {
  const wait = (): Promise<void> => new Promise((done) => setTimeout(done, TROUBLE_MS));
  await sql(database.superuserUrl, `alter role ${role} password 'another'`);
  await sql(database.superuserUrl, 'select pg_terminate_backend(pid) from pg_stat_activity where usename = $1', [role]);
  await wait();
  await kubectl(['delete', 'clusterrolebinding', 'bulkhead-operator']);
  await kubectl(['delete', 'serviceaccount', 'bulkhead-operator', '--namespace=bulkhead-system']);
  await wait();
}

async function fetched(port: number): Promise<string> {
  const paths = ['/metrics', '/healthz', '/readyz', '/'];
  const bodies = await Promise.all(paths.map(async (path) => (await fetch(`http://127.0.0.1:${port}${path}`)).text()));
  return bodies.join('\n');
}

const COMMANDS: readonly (readonly string[])[] = [
  ['get', '-A', '-o', 'yaml'],
  ['describe', JOB],
  ['events', JOB],
  ['history', JOB],
  ['explain', JOB],
  ['logs', JOB],
  ['store', 'status'],
  ['export', '--history'],
];

/** Every row of every table of the store, as text. */
async function dump({ superuserUrl }: TestDatabase): Promise<string> {
  const tables = await sql<{ name: string }>(
    superuserUrl,
    "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'bulkhead'",
  );
  const rows = await Promise.all(
    tables.map(({ name }) => sql<{ row: string }>(superuserUrl, `select t::text as row from ${name} t`)),
  );
  return rows
    .flat()
    .map(({ row }) => row)
    .join('\n');
}

const CLUSTER_KINDS = 'namespaces,deployments,serviceaccounts,pods,events,configmaps,networkpolicies,streamjobs';

/** What was said or left behind, by where it was found. @throws Error when the operator does not come to work */
export async function liveTexts(around: Around): Promise<ReadonlyMap<string, string>> {
  await using cleanup = new AsyncDisposableStack();
  const cluster = await up('control-plane', { name: CLUSTER, nodes: 1, fsync: false, fresh: true });
  cleanup.defer(() => cluster.down());
  const kubectl = await kubectlOn(cluster);
  const database = cleanup.use(await testDatabase());
  const login = await makeLogin(database, around.canaries);
  const KUBECONFIG = await operatorKubeconfig(kubectl, around);
  const env = { DATABASE_URL: login.url, KUBECONFIG };
  const port = await findFreePort();
  const args = ['src/cli/main.ts', 'run', '--yes', '--debug', '--health-address', `127.0.0.1:${port}`];
  const operator = execa(process.execPath, args, { cwd: CHECKOUT, env, all: true, reject: false });
  cleanup.defer(() => void operator.kill('SIGKILL'));
  const password = around.canaries.make('a Secret that workers use');
  const secretKeyRef = { name: 'db', key: 'password' };
  const image = 'registry.example/app:1';
  const id = await applyJob(database.store, 'clicks', { container: { image, env: [{ name: 'P', secretKeyRef }] } });
  const namespace = cellNamespace(database.store.storeId, { tenant: 'ads', name: 'clicks' });
  await until('the cell is made', 60_000, async () => (await kubectl(['get', 'namespaces'])).includes(namespace));
  const literal = `--from-literal=password=${password}`;
  await kubectl(['create', 'secret', 'generic', 'db', `--namespace=${namespace}`, literal]);
  await untilPhase(database.store, id, 'Running', 60_000);
  const texts = new Map([['health and metrics', await fetched(port)]]);
  for (const command of COMMANDS) texts.set(`bulkhead ${command.join(' ')}`, (await bulkhead(command, env)).text);
  await trouble(database, login, kubectl);
  texts.set('health and metrics in trouble', await fetched(port));
  operator.kill('SIGTERM');
  texts.set('the log of the operator', String((await operator).all));
  texts.set('the tables of the store', await dump(database));
  texts.set('objects in the cluster', await kubectl(['get', CLUSTER_KINDS, '--all-namespaces', '--output=yaml']));
  return texts;
}

/** What a search in these must find, or it has searched for nothing: in that order, where and what. */
const EXPECTED: readonly (readonly [where: string, what: RegExp])[] = [
  ['health and metrics', /bulkhead_/],
  ['the log of the operator', /watching the cluster/],
  ['the log of the operator', /refuses the password/],
  ['the tables of the store', /secretKeyRef/],
  ['objects in the cluster', /secretKeyRef/],
];

/** What a live operator let out; empty when nothing, and everything that was to happen did happen. */
export function liveFindings(texts: ReadonlyMap<string, string>, canaries: Canaries): string[] {
  const leaked = [...texts].flatMap(([where, text]) => canaries.in(text).map((what) => `${where}: ${what} is said`));
  const missing = EXPECTED.filter(([where, what]) => !what.test(texts.get(where) ?? ''));
  return [...leaked, ...missing.map(([where, what]) => `${where}: nothing fits ${what}, so nothing was tried`)];
}
