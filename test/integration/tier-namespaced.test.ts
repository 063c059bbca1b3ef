import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { objectPath } from '../../src/cluster/paths.ts';
import { MERGE_PATCH, type Transport } from '../../src/cluster/transport.ts';
import type { JobId } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import type { Tier } from '../../src/job/tier.ts';
import { cellPlace } from '../../src/plan/names.ts';
import type { CellKind, ObjectKey } from '../../src/plan/objects.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { asAdministrator } from '../support/fenced-cell.ts';
import { applyJob, type RunningOperator, removeJob, startOperator, statusOf, untilPhase } from '../support/operator.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';

/** An operator that may not make namespaces: its account has the Roles of manifests/overlays/namespaced and no more. */

const MANIFESTS = join(import.meta.dirname, '../../manifests');
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const ACCOUNT = '/api/v1/namespaces/bulkhead-system/serviceaccounts';
const specIn = (tier: Tier): JobSpec => ({ container: { image: 'app:1' }, isolation: { tier } });

let cluster: ControlPlaneCluster;
let database: TestDatabase;
let operator: RunningOperator;
let admin: Transport;
let folder: string;

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly items?: readonly Manifest[];
}

const ROLE_PATHS: Readonly<Record<string, string>> = { Role: 'roles', RoleBinding: 'rolebindings' };

/** The Roles and their bindings of a file; those of its tenant for another one where that is named. */
async function grant(file: string, tenant?: string): Promise<void> {
  const documents = parseAllDocuments(await readFile(join(MANIFESTS, file), 'utf8'));
  const manifests = documents.map((document) => document.toJS() as Manifest).flatMap((it) => it.items ?? [it]);
  for (const { metadata, ...rest } of manifests) {
    const resource = ROLE_PATHS[rest.kind];
    if (!resource) continue;
    const namespace = tenant ?? metadata.namespace ?? '';
    const body = { ...rest, metadata: { ...metadata, namespace } };
    await admin.call('POST', `${RBAC}/namespaces/${namespace}/${resource}`, { body });
  }
}

/** A kubeconfig with a token of the operator's account. */
async function kubeconfigOfOperator(): Promise<string> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3_600 } };
  const answer = (await admin.call('POST', `${ACCOUNT}/bulkhead-operator/token`, { body })) as {
    status: { token: string };
  };
  const config = parse(await readFile(cluster.kubeconfigPath, 'utf8')) as { users: { name: string; user: unknown }[] };
  const users = config.users.map(({ name }) => ({ name, user: { token: answer.status.token } }));
  const path = join(folder, 'kubeconfig');
  await writeFile(path, stringify({ ...config, users }));
  return path;
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-tier-'));
  cluster = await up('control-plane', { name: 'tier-ns', fsync: false, fresh: true });
  database = await testDatabase();
  admin = await asAdministrator(cluster);
  for (const name of ['ads', 'later', 'other']) {
    await admin.call('POST', '/api/v1/namespaces', { body: { metadata: { name } } });
  }
  await admin.call('POST', ACCOUNT, { body: { metadata: { name: 'bulkhead-operator' } } });
  await grant('base/rbac.yaml');
  await grant('overlays/namespaced/roles.yaml');
  await grant('overlays/namespaced/tenants.yaml');
  operator = startOperator(database.store, {
    kubeconfig: await kubeconfigOfOperator(),
    namespaces: ['ads', 'later'],
  });
});

after(async () => {
  await operator?.stop();
  await admin?.close();
  await database?.[Symbol.asyncDispose]();
  await cluster?.down();
  await rm(folder, { recursive: true, force: true });
});

const keyIn = (tier: Tier, kind: CellKind, name: string, tenant = 'ads'): ObjectKey => {
  const place = cellPlace(database.store.storeId, { tenant, name }, tier);
  return kind === 'Namespace' ? { kind, namespace: '', name: place.namespace } : { kind, ...place };
};
const isThere = (key: ObjectKey): Promise<boolean> =>
  admin.call('GET', objectPath(key)).then(
    () => true,
    () => false,
  );

async function stalls(id: JobId, reason: string): Promise<string> {
  const stalled = async () =>
    (await statusOf(database.store, id))?.conditions.find((c) => c.type === 'Stalled' && c.reason === reason)?.message;
  return (await until(`job ${id} says ${reason}`, 60_000, async () => (await stalled()) ?? null)).value;
}

test('with namespaced Roles alone a job of tier shared runs, is repaired and is removed', async () => {
  const id = await applyJob(database.store, 'clicks', specIn('shared'));
  await untilPhase(database.store, id, 'Running', 60_000);
  await admin.call('PATCH', objectPath(keyIn('shared', 'ServiceAccount', 'clicks')), {
    query: { fieldManager: 'bulkhead' },
    body: { automountServiceAccountToken: true },
    contentType: MERGE_PATCH,
  });
  await until('the repair', 5_000, async () => {
    const path = objectPath(keyIn('shared', 'ServiceAccount', 'clicks'));
    return (
      ((await admin.call('GET', path)) as { automountServiceAccountToken: boolean }).automountServiceAccountToken ===
      false
    );
  });
  await removeJob(database.store, 'clicks');
  await untilPhase(database.store, id, 'Gone', 60_000);
  assert.equal(await isThere(keyIn('shared', 'ServiceAccount', 'clicks')), false);
});

test('a job that wants a namespace of its own is told what to do, and runs when it does', async () => {
  const id = await applyJob(database.store, 'alone', specIn('namespace'));
  assert.match(await stalls(id, 'TierNotAvailable'), /set spec\.isolation\.tier to shared$/);
  await applyJob(database.store, 'alone', specIn('shared'));
  await untilPhase(database.store, id, 'Running', 60_000);
});

test('a tenant whose namespace may not be looked into waits alone, and goes on once it may', async () => {
  const waiting = await applyJob(database.store, 'early', specIn('shared'), 'later');
  assert.match(await stalls(waiting, 'TenantNotServed'), /later is not among those that it sees \(only ads\)/);
  const neighbour = await applyJob(database.store, 'neighbour', specIn('shared'));
  await untilPhase(database.store, neighbour, 'Running', 30_000);
  await grant('overlays/namespaced/tenants.yaml', 'later');
  await untilPhase(database.store, waiting, 'Running', 90_000);
});

test('a tenant that the installation is not for waits; its removed job is not called gone, since nothing is seen of it', async () => {
  const id = await applyJob(database.store, 'far', specIn('shared'), 'other');
  await stalls(id, 'TenantNotServed');
  await removeJob(database.store, 'far', 'other');
  assert.equal((await untilPhase(database.store, id, 'Deleting')).conditions[0]?.reason, 'TenantNotServed');
});
