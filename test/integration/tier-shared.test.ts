import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createPath, objectPath } from '../../src/cluster/paths.ts';
import { MERGE_PATCH, type Transport } from '../../src/cluster/transport.ts';
import type { JobId } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import type { Tier } from '../../src/job/tier.ts';
import { cellPlace } from '../../src/plan/names.ts';
import { type CellKind, LABELS, type ObjectKey } from '../../src/plan/objects.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import {
  applyJob,
  connect,
  type RunningOperator,
  removeJob,
  startOperator,
  statusOf,
  untilPhase,
} from '../support/operator.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import { listenForSilence } from '../support/silence.ts';
import { until } from '../support/until.ts';

/** Tier `shared` on a real Postgres and a real API server; pods are played by kwok. */

const REPAIR_LIMIT_MS = 5_000; // faults.md row 23
const KINDS: readonly CellKind[] = ['ServiceAccount', 'NetworkPolicy', 'Deployment', 'PodDisruptionBudget', 'Service'];
const specIn = (tier: Tier, replicas = 1): JobSpec => ({
  container: { image: 'app:1', ports: [{ name: 'http', port: 8080 }] },
  workers: { replicas },
  isolation: { tier },
});

let cluster: ControlPlaneCluster;
let database: TestDatabase;
let operator: RunningOperator;
let api: Transport;

interface Live {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly generation?: number;
    readonly labels?: Record<string, string>;
    readonly deletionTimestamp?: string;
  };
  readonly status?: { readonly readyReplicas?: number };
  readonly [field: string]: unknown;
}

const keyIn = (tier: Tier, kind: CellKind, name: string, tenant = 'ads'): ObjectKey => {
  const place = cellPlace(database.store.storeId, { tenant, name }, tier);
  return kind === 'Namespace' ? { kind, namespace: '', name: place.namespace } : { kind, ...place };
};
const read = async (key: ObjectKey): Promise<Live> => (await api.call('GET', objectPath(key))) as Live;
const readOrNull = (key: ObjectKey): Promise<Live | null> => read(key).catch(() => null);
const release = () => database.store.releaseBrake({ author: 'test', source: 'cli', reason: 'a test removes cells' });

const THEIRS: ObjectKey = { kind: 'Deployment', namespace: 'ads', name: 'clicks' };

const makeNamespace = (name: string) =>
  api.call('POST', '/api/v1/namespaces', { body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name } } });

before(async () => {
  cluster = await up('control-plane', { name: 'tier', fsync: false, fresh: true });
  database = await testDatabase();
  api = await connect(cluster);
  await makeNamespace('ads');
  const labels = { app: 'theirs' };
  await api.call('POST', createPath(THEIRS), {
    body: {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: THEIRS.name, namespace: 'ads' },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'theirs:1' }] } },
      },
    },
  });
  operator = startOperator(database.store, { kubeconfig: cluster.kubeconfigPath });
});

after(async () => {
  await operator.stop();
  await api.close();
  await database[Symbol.asyncDispose]();
  await cluster.down();
});

test('two jobs share the tenant’s namespace, a third has its own; the namespace itself and what is the tenant’s stay', async () => {
  const theirs = await read(THEIRS);
  const ids = await Promise.all([
    applyJob(database.store, 'clicks', specIn('shared', 2)),
    applyJob(database.store, 'views', specIn('shared')),
    applyJob(database.store, 'alone', specIn('namespace')),
  ]);
  const statuses = await Promise.all(ids.map((id) => untilPhase(database.store, id, 'Running')));
  assert.deepEqual(
    statuses.map(({ cell, tier }) => `${tier} ${cell}`),
    ['shared ads', 'shared ads', `namespace ${keyIn('namespace', 'Namespace', 'alone').name}`],
  );
  assert.deepEqual(statuses[0]?.workers, { desired: 2, ready: 2, restarts: 0 });
  for (const kind of KINDS) {
    const { labels } = (await read(keyIn('shared', kind, 'clicks'))).metadata;
    assert.deepEqual([labels?.[LABELS.jobId], labels?.[LABELS.job]], [ids[0], 'clicks'], kind);
  }
  const { labels } = (await read({ kind: 'Namespace', namespace: '', name: 'ads' })).metadata;
  assert.deepEqual(Object.keys(labels ?? {}), ['kubernetes.io/metadata.name']);
  assert.equal((await read(THEIRS)).metadata.generation, theirs.metadata.generation);
});

test('what is sent equals what is read back: at rest nothing is written', async () => {
  const seen = await listenForSilence(cluster, database.superuserUrl, 5_000);
  assert.deepEqual([seen.clusterWrites, seen.rowsWritten], [[], {}]);
});

for (const kind of KINDS) {
  test(`a ${kind} of a shared cell that is deleted by hand is made again within 5 s`, async () => {
    const id = await applyJob(database.store, 'views', specIn('shared'));
    await untilPhase(database.store, id, 'Running');
    const key = keyIn('shared', kind, 'views');
    const { uid } = (await read(key)).metadata;
    await api.call('DELETE', objectPath(key), { body: { apiVersion: 'v1', kind: 'DeleteOptions' } });
    await until(`${kind} is back`, REPAIR_LIMIT_MS, async () => {
      const found = await readOrNull(key);
      return found !== null && found.metadata.uid !== uid;
    });
    await untilPhase(database.store, id, 'Running');
  });
}

test('a hole that somebody makes into a shared cell’s network policy is closed within 5 s', async () => {
  const key = keyIn('shared', 'NetworkPolicy', 'views');
  const before = (await read(key)).spec;
  await api.call('PATCH', objectPath(key), {
    body: { spec: { podSelector: {}, ingress: [{}] } },
    contentType: MERGE_PATCH,
  });
  await until('the policy is as before', REPAIR_LIMIT_MS, async () => {
    return JSON.stringify((await read(key)).spec) === JSON.stringify(before);
  });
});

test('one job whose name is taken by somebody waits alone; its neighbours run and take edits', async () => {
  const key = keyIn('shared', 'NetworkPolicy', 'taken');
  const body = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: key, spec: { podSelector: {} } };
  await api.call('POST', createPath(key), { body });
  const taken = await applyJob(database.store, 'taken', specIn('shared'));
  const status = await untilPhase(database.store, taken, 'Waiting');
  assert.equal(status.conditions.find((c) => c.type === 'Stalled')?.reason, 'ForeignObject');
  assert.equal(await readOrNull(keyIn('shared', 'Deployment', 'taken')), null, 'no worker without its walls');
  const edited = await applyJob(database.store, 'views', specIn('shared', 3));
  assert.equal((await untilPhase(database.store, edited, 'Running')).workers.ready, 3);
  await api.call('DELETE', objectPath(key));
  await untilPhase(database.store, taken, 'Running', 60_000);
});

test('a tenant without a namespace is told what to make, and goes on when it is there', async () => {
  const id = await applyJob(database.store, 'early', specIn('shared'), 'absent');
  const status = await untilPhase(database.store, id, 'Waiting');
  const stalled = status.conditions.find((c) => c.type === 'Stalled');
  assert.equal(stalled?.reason, 'NamespaceMissing');
  assert.match(stalled.message, /make it with: kubectl create namespace absent$/);
  await makeNamespace('absent');
  await untilPhase(database.store, id, 'Running', 60_000);
});

test('a tenant’s namespace that somebody deletes is no command: the goal stays, and the cell is back when it is', async () => {
  const [early] = await database.store
    .events({ limit: 1_000 })
    .then((all) => all.filter((e) => e.job.name === 'early'));
  assert.ok(early);
  const key: ObjectKey = { kind: 'Namespace', namespace: '', name: 'absent' };
  await api.call('DELETE', objectPath(key), { body: { apiVersion: 'v1', kind: 'DeleteOptions' } });
  await until('the namespace is gone', 60_000, async () => (await readOrNull(key)) === null);
  const isMissing = async () =>
    (await statusOf(database.store, early.jobId))?.conditions.some((c) => c.reason === 'NamespaceMissing') ?? false;
  await until('its absence is said', 60_000, isMissing);
  await makeNamespace('absent');
  await untilPhase(database.store, early.jobId, 'Running', 60_000);
});

/** Deployments of a job that have ready workers and that nobody deletes, at this moment. */
async function working(name: string): Promise<Tier[]> {
  const tiers = ['namespace', 'shared'] as const;
  const found = await Promise.all(tiers.map((tier) => readOrNull(keyIn(tier, 'Deployment', name))));
  const isWorking = (live: Live | null) =>
    live !== null && live.metadata.deletionTimestamp === undefined && (live.status?.readyReplicas ?? 0) > 0;
  return tiers.filter((_, index) => isWorking(found[index] ?? null));
}

async function move(id: JobId, name: string, tier: Tier): Promise<void> {
  await applyJob(database.store, name, specIn(tier));
  await until(`the cell is in tier ${tier} alone`, 60_000, async () => {
    await release();
    assert.ok((await working(name)).length > 0, 'there are workers at every moment');
    const status = await statusOf(database.store, id);
    return status?.tier === tier && status.phase === 'Running';
  });
  assert.deepEqual(await working(name), [tier]);
}

test('a job moves to the shared namespace and back: workers at every moment, and nothing is left behind', async () => {
  const id = await applyJob(database.store, 'mover', specIn('namespace'));
  await untilPhase(database.store, id, 'Running');
  await move(id, 'mover', 'shared');
  assert.equal(await readOrNull(keyIn('namespace', 'Namespace', 'mover')), null);
  await move(id, 'mover', 'namespace');
  for (const kind of KINDS) assert.equal(await readOrNull(keyIn('shared', kind, 'mover')), null, kind);
});

test('a removed job leaves the shared namespace workers first, and its neighbours and the tenant’s own things stay', async () => {
  const theirs = (await read(THEIRS)).metadata;
  const clicks = await applyJob(database.store, 'clicks', specIn('shared', 2));
  await untilPhase(database.store, clicks, 'Running');
  const wall = keyIn('shared', 'NetworkPolicy', 'clicks');
  await removeJob(database.store, 'clicks');
  await until('the job is gone', 60_000, async () => {
    await release();
    const hasWall = (await readOrNull(wall)) !== null;
    const pods = (await api.call('GET', '/api/v1/namespaces/ads/pods', {
      query: { labelSelector: `${LABELS.jobId}=${clicks}` },
    })) as { items: unknown[] };
    // Read in this order, so that a wall that was not there stood around nothing.
    assert.ok(hasWall || pods.items.length === 0, 'no worker outlives its network policy');
    return (await statusOf(database.store, clicks))?.phase === 'Gone';
  });
  for (const kind of KINDS) assert.equal(await readOrNull(keyIn('shared', kind, 'clicks')), null, kind);
  const after = (await read(THEIRS)).metadata;
  assert.deepEqual([after.uid, after.generation, after.labels], [theirs.uid, theirs.generation, theirs.labels]);
  assert.deepEqual(await working('views'), ['shared']);
  assert.equal((await read({ kind: 'Namespace', namespace: '', name: 'ads' })).metadata.deletionTimestamp, undefined);
});
