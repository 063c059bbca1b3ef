import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { createPath, objectPath } from '../../src/cluster/paths.ts';
import { MERGE_PATCH, type Transport } from '../../src/cluster/transport.ts';
import type { JobId } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import { CELL_KIND_NAMES, type CellKind, LABELS, type ObjectKey } from '../../src/plan/objects.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { specArbitrary } from '../support/arbitrary.ts';
import { auditMark, raisesFence, writesSince } from '../support/audit.ts';
import {
  applyJob,
  connect,
  type RunningOperator,
  removeJob,
  startOperator,
  statusOf,
  untilPhase,
} from '../support/operator.ts';
import { sql, type TestDatabase, testDatabase } from '../support/postgres.ts';
import { listenForSilence } from '../support/silence.ts';
import { until } from '../support/until.ts';

/** The operator on a real Postgres and a real API server; pods are played by kwok. */

const REPAIR_LIMIT_MS = 5_000; // faults.md row 23
const SPEC: JobSpec = {
  container: { image: 'app:1', ports: [{ name: 'http', port: 8080 }] },
  workers: { replicas: 2 },
};

let cluster: ControlPlaneCluster;
let database: TestDatabase;
let operator: RunningOperator;
let api: Transport;

before(async () => {
  cluster = await up('control-plane', { name: 'reconcile', fsync: false, fresh: true });
  database = await testDatabase();
  api = await connect(cluster);
  operator = startOperator(database.store, { kubeconfig: cluster.kubeconfigPath });
});

after(async () => {
  await operator.stop();
  await api.close();
  await database[Symbol.asyncDispose]();
  await cluster.down();
});

const namespaceOf = (name: string, tenant = 'ads') => cellNamespace(database.store.storeId, { tenant, name });
const keyIn = (kind: CellKind, name: string): ObjectKey =>
  kind === 'Namespace'
    ? { kind, namespace: '', name: namespaceOf(name) }
    : { kind, namespace: namespaceOf(name), name };

interface Live {
  readonly metadata: {
    readonly uid: string;
    readonly labels?: Record<string, string>;
    readonly deletionTimestamp?: string;
  };
  readonly [field: string]: unknown;
}

const read = async (key: ObjectKey): Promise<Live> => (await api.call('GET', objectPath(key))) as Live;
/** Tests remove more cells than the brake lets go by itself. */
const release = () =>
  database.store.releaseBrake({ author: 'test', source: 'cli', reason: 'a test removes many cells' });

async function goneUnderTheBrake(id: JobId): Promise<void> {
  const isGone = async () => {
    await release();
    return (await statusOf(database.store, id))?.phase === 'Gone';
  };
  await until(`job ${id} is gone`, 60_000, isGone);
}

const readOrNull = (key: ObjectKey): Promise<Live | null> => read(key).catch(() => null);

test('a goal becomes a complete cell, its workers become ready, and the labels say whose it is', async () => {
  const id = await applyJob(database.store, 'whole', SPEC);
  const status = await untilPhase(database.store, id, 'Running');
  assert.deepEqual(status.workers, { desired: 2, ready: 2, restarts: 0 });
  assert.equal(status.conditions.find((c) => c.type === 'Ready')?.status, 'True');
  for (const kind of CELL_KIND_NAMES) {
    const { labels } = (await read(keyIn(kind, 'whole'))).metadata;
    assert.deepEqual(
      [
        labels?.[LABELS.store],
        labels?.[LABELS.jobId],
        labels?.[LABELS.tenant],
        labels?.[LABELS.job],
        labels?.[LABELS.revision],
      ],
      [database.store.storeId, id, 'ads', 'whole', '1'],
      kind,
    );
  }
});

test('what is sent equals what is read back: after any valid spec not one write more is sent', async () => {
  // Jobs of tier shared lie in it.
  await api.call('POST', '/api/v1/namespaces', { body: { metadata: { name: 'fuzz' } } });
  let number = 0;
  const jobs = fc
    .sample(specArbitrary, { numRuns: 25, seed: 20_261_123 })
    .map((spec) => ({ spec, name: `any-${number++}` }));
  const ids = await Promise.all(jobs.map(({ name, spec }) => applyJob(database.store, name, spec, 'fuzz')));
  const settled = async (id: (typeof ids)[number]) => {
    const status = await statusOf(database.store, id);
    return status?.next.every((step) => step.action === 'nothing' || step.action === 'wait');
  };
  for (const id of ids) await until(`job ${id} is settled`, 60_000, () => settled(id));
  const replaced = (await database.store.events({ limit: 10_000 })).filter(
    (e) => e.job.tenant === 'fuzz' && e.reason === 'Replaced',
  );
  assert.deepEqual(
    replaced.map((e) => e.message),
    [],
    'the server changed what was sent: render its default',
  );
  const refused = (await Promise.all(ids.map((id) => statusOf(database.store, id)))).filter((s) =>
    s?.conditions.some((c) => c.reason === 'ObjectRefused'),
  );
  assert.deepEqual(refused, [], 'the API server refuses what the schema takes');
  for (const { name } of jobs) await removeJob(database.store, name, 'fuzz');
  await Promise.all(ids.map((id) => goneUnderTheBrake(id)));
});

for (const kind of CELL_KIND_NAMES) {
  test(`a deleted ${kind} is made again within 5 s (a Namespace: of its end)`, async () => {
    const id = await applyJob(database.store, 'whole', SPEC);
    await untilPhase(database.store, id, 'Running');
    const key = keyIn(kind, 'whole');
    const { uid } = (await read(key)).metadata;
    await api.call('DELETE', objectPath(key), { body: { apiVersion: 'v1', kind: 'DeleteOptions' } });
    await until(`${kind} is gone`, 30_000, async () => (await readOrNull(key))?.metadata.uid !== uid);
    await until(`${kind} is back`, REPAIR_LIMIT_MS, async () => {
      const found = await readOrNull(key);
      return found !== null && found.metadata.uid !== uid;
    });
    await untilPhase(database.store, id, 'Running');
  });
}

/** A Service's spec that leads out of the cluster, and has no address there. */
const ELSEWHERE = { type: 'ExternalName', externalName: 'elsewhere.example', clusterIP: null, clusterIPs: null };

const EDITS: readonly (readonly [kind: CellKind, what: string, patch: object])[] = [
  [
    'Namespace',
    'pod security switched off',
    { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } } },
  ],
  ['ServiceAccount', 'a token mounted', { automountServiceAccountToken: true }],
  ['ResourceQuota', 'a larger quota', { spec: { hard: { pods: '999' } } }],
  ['LimitRange', 'no limits', { spec: { limits: [] } }],
  ['NetworkPolicy', 'everything let in', { spec: { ingress: [{}] } }],
  ['Deployment', 'more workers', { spec: { replicas: 7 } }],
  ['Deployment', 'the host network', { spec: { template: { spec: { hostNetwork: true } } } }],
  ['PodDisruptionBudget', 'a wider budget', { spec: { maxUnavailable: 2 } }],
  ['Service', 'each client kept at one worker', { spec: { sessionAffinity: 'ClientIP' } }],
  ['Service', 'a name for something elsewhere', { spec: ELSEWHERE }],
];

for (const [kind, what, patch] of EDITS) {
  test(`${kind}: ${what} by hand is put right within 5 s`, async () => {
    const id = await applyJob(database.store, 'whole', SPEC);
    await untilPhase(database.store, id, 'Running');
    const key = keyIn(kind, 'whole');
    const strip = ({ metadata: { labels }, status: _status, ...rest }: Live) => {
      const { clusterIP: _ip, clusterIPs: _ips, ...spec } = (rest.spec ?? {}) as Record<string, unknown>;
      return { ...rest, spec, labels };
    };
    const before = strip(await read(key));
    await api.call('PATCH', objectPath(key), { body: patch, contentType: MERGE_PATCH });
    await until(`${kind} is as before`, REPAIR_LIMIT_MS, async () => {
      return JSON.stringify(strip(await read(key))) === JSON.stringify(before);
    });
  });
}

test('a Service that has an address keeps it while its ports change: it cannot be taken back, and clients may know it', async () => {
  const id = await applyJob(database.store, 'addressed', SPEC);
  await untilPhase(database.store, id, 'Running');
  const key = keyIn('Service', 'addressed');
  const addressed = async () => {
    const { spec } = (await read(key)) as Live & { spec: { type: string; clusterIP?: string; ports?: unknown[] } };
    return spec;
  };
  assert.equal((await addressed()).clusterIP, 'None', 'a new one has none');
  // As earlier versions made it: by way of a name for something elsewhere, the only way from none to one.
  await api.call('PATCH', objectPath(key), { body: { spec: ELSEWHERE }, contentType: MERGE_PATCH });
  await until('it leads to the workers again', REPAIR_LIMIT_MS, async () => (await addressed()).type === 'ClusterIP');
  const { clusterIP } = await addressed();
  assert.match(clusterIP ?? '', /^[0-9.]+$/);
  const ports = [...(SPEC.container.ports ?? []), { name: 'more', port: 8081 }];
  await applyJob(database.store, 'addressed', { ...SPEC, container: { ...SPEC.container, ports } });
  await until('it has both ports', REPAIR_LIMIT_MS, async () => (await addressed()).ports?.length === 2);
  assert.equal((await addressed()).clusterIP, clusterIP);
  await untilPhase(database.store, id, 'Running');
});

test('somebody who undoes every repair is answered ever more slowly: no hot loop, and the goal is never given up', async () => {
  const id = await applyJob(database.store, 'whole', SPEC);
  await untilPhase(database.store, id, 'Running');
  const key = keyIn('PodDisruptionBudget', 'whole');
  const mark = auditMark(cluster.auditLogPath);
  const end = performance.now() + 10_000;
  let undone = 0;
  while (performance.now() < end) {
    const { spec } = (await read(key)) as Live & { spec: { maxUnavailable: number } };
    if (spec.maxUnavailable !== 2) {
      const body = { spec: { maxUnavailable: 2 } };
      await api.call('PATCH', objectPath(key), { body, contentType: MERGE_PATCH });
      undone += 1;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const tries = await writesSince(cluster.auditLogPath, mark);
  const landed = tries.filter((write) => write.code < 300).length;
  assert.ok(landed >= 3 && landed <= 12 && tries.length <= 40, `${landed} of ${tries.length} repairs landed in 10 s`);
  assert.ok(undone >= 3, `they were undone ${undone} times`);
  await untilPhase(database.store, id, 'Running');
  await until('the last word is the goal’s', REPAIR_LIMIT_MS, async () => {
    return ((await read(key)) as Live & { spec: { maxUnavailable: number } }).spec.maxUnavailable === 1;
  });
});

test('a foreign object of the same name leads to a condition and is never touched', async () => {
  const namespace = keyIn('Namespace', 'taken');
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace.name, labels: { mine: 'yes' } } };
  await api.call('POST', createPath(namespace), { body });
  const before = await read(namespace);
  const id = await applyJob(database.store, 'taken', SPEC);
  const status = await untilPhase(database.store, id, 'Waiting');
  assert.equal(status.conditions.find((c) => c.type === 'Stalled')?.reason, 'ForeignObject');
  assert.deepEqual(await read(namespace), before);
  await api.call('DELETE', objectPath(namespace));
  await untilPhase(database.store, id, 'Running', 60_000);
  await removeJob(database.store, 'taken');
});

test('a removed job that is applied again is the same job; it gets a new cell after the end of the old one', async () => {
  const id = await applyJob(database.store, 'again', SPEC);
  await untilPhase(database.store, id, 'Running');
  const old = (await read(keyIn('Namespace', 'again'))).metadata.uid;
  await removeJob(database.store, 'again');
  await until('the old cell ends', 10_000, async () => {
    await release();
    const cell = await readOrNull(keyIn('Namespace', 'again'));
    return cell === null || cell.metadata.deletionTimestamp !== undefined;
  });
  assert.equal(await applyJob(database.store, 'again', SPEC), id);
  await until('the new cell is there', 60_000, async () => {
    const cell = await readOrNull(keyIn('Namespace', 'again'));
    return cell !== null && cell.metadata.uid !== old;
  });
  await untilPhase(database.store, id, 'Running');
});

test('a name that is free again goes to a new job, which waits for the end of the old cell and never takes it over', async () => {
  const first = await applyJob(database.store, 'freed', SPEC);
  await untilPhase(database.store, first, 'Running');
  const old = (await read(keyIn('Namespace', 'freed'))).metadata.uid;
  await removeJob(database.store, 'freed');
  await sql(database.adminUrl, "update bulkhead.job set removed_at = removed_at - interval '8 days' where id = $1", [
    first,
  ]);
  const second = await applyJob(database.store, 'freed', SPEC);
  assert.notEqual(second, first);
  await goneUnderTheBrake(first);
  await untilPhase(database.store, second, 'Running', 60_000);
  const cell = await read(keyIn('Namespace', 'freed'));
  assert.notEqual(cell.metadata.uid, old);
  assert.equal(cell.metadata.labels?.[LABELS.jobId], second);
});

test('a tombstone deletes the cell, and the removed job needs nobody any more', async () => {
  const id = await applyJob(database.store, 'short', SPEC);
  await untilPhase(database.store, id, 'Running');
  await removeJob(database.store, 'short');
  await goneUnderTheBrake(id);
  assert.equal(await readOrNull(keyIn('Namespace', 'short')), null);
  assert.ok(!(await database.store.heads()).some((head) => head.jobId === id));
});

test('a cell without a goal is reported and left alone', async () => {
  const lost = '99999999-9999-4999-8999-999999999999';
  const labels = { [LABELS.managedBy]: 'bulkhead', [LABELS.store]: database.store.storeId, [LABELS.jobId]: lost };
  const namespace: ObjectKey = { kind: 'Namespace', namespace: '', name: 'bh-orphan' };
  await api.call('POST', createPath(namespace), {
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'bh-orphan', labels } },
  });
  await until('the orphan is reported', 5_000, () =>
    operator.log.lines.some((line) => line.message.includes('without a goal')),
  );
  assert.equal((await read(namespace)).metadata.deletionTimestamp, undefined);
});

test('API server restarted: converged within 30 s, no pod is restarted or replaced, one line lost and one back', async () => {
  const id = await applyJob(database.store, 'whole', SPEC);
  await untilPhase(database.store, id, 'Running');
  const pods = async () =>
    ((await api.call('GET', `/api/v1/namespaces/${namespaceOf('whole')}/pods`)) as { items: Live[] }).items
      .map((p) => p.metadata.uid)
      .sort();
  const before = await pods();
  const lines = operator.log.lines.length;
  await cluster.stopComponent('kube-apiserver', 'SIGKILL');
  await until('the loss is said', 10_000, () =>
    operator.log.lines.slice(lines).some((l) => l.message.includes('the cluster lost')),
  );
  await cluster.startComponent('kube-apiserver');
  await until('the cluster is back', 30_000, () =>
    operator.log.lines.slice(lines).some((l) => l.message.includes('the cluster is back')),
  );
  const update = await applyJob(database.store, 'whole', { ...SPEC, network: { egress: [{ cidr: '10.9.0.0/16' }] } });
  await untilPhase(database.store, update, 'Running', 30_000);
  assert.deepEqual(await pods(), before);
  const said = operator.log.lines.slice(lines).filter((l) => /the cluster (lost|is back)/.test(l.message));
  assert.equal(said.length, 2, JSON.stringify(said));
});

test('a converged system writes nothing, to the API server or to Postgres, leases aside', async () => {
  const id = await applyJob(database.store, 'whole', SPEC);
  await untilPhase(database.store, id, 'Running');
  const seen = await listenForSilence(cluster, database.superuserUrl, 20_000);
  assert.deepEqual([seen.clusterWrites, seen.rowsWritten], [[], {}]);
  assert.ok(seen.leaseRenewals > 0, 'the operator was alive meanwhile');
});

test('a restart of the operator raises the fence once and writes nothing else: what is, is recognised', async () => {
  await operator.stop();
  const mark = auditMark(cluster.auditLogPath);
  const events = (await database.store.events({ limit: 10_000 })).length;
  operator = startOperator(database.store, { kubeconfig: cluster.kubeconfigPath });
  await until('the operator watches', 20_000, () =>
    operator.log.lines.some((l) => l.message === 'watching the cluster'),
  );
  await until('the fence is raised', 20_000, async () => (await writesSince(cluster.auditLogPath, mark)).length > 0);
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const writes = await writesSince(cluster.auditLogPath, mark);
  assert.deepEqual(
    writes.filter((write) => !raisesFence(write)),
    [],
  );
  assert.equal(writes.length, 1, 'all shards are raised by one write');
  assert.equal((await database.store.events({ limit: 10_000 })).length, events);
});
