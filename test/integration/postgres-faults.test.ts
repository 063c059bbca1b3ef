import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { replicaId, SHARD_COUNT } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import { DEFAULT_LEASE_TIMING } from '../../src/reconcile/shard-keeper.ts';
import { findFreePort } from '../../src/store/embedded/port.ts';
import { type EmbeddedServer, embeddedStatus, ensureEmbedded, stopEmbedded } from '../../src/store/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openStore, type Store } from '../../src/store/open.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { auditMark, auditSince, raisesFence, writesSince } from '../support/audit.ts';
import { applyJob, type RunningOperator, startOperator, statusOf, untilPhase } from '../support/operator.ts';
import { ownFolder, sql } from '../support/postgres.ts';
import { until } from '../support/until.ts';

/** Postgres goes away under a running operator (faults.md rows 3, 5, 6 and 9). */

const RESUME_LIMIT_MS = 10_000;
const SEEN_LIMIT_MS = 30_000;
const SPEC: JobSpec = { container: { image: 'app:1' }, workers: { replicas: 2 } };
const edited = (image: string): JobSpec => ({ ...SPEC, container: { image } });

let cluster: ControlPlaneCluster;
let server: EmbeddedServer;
let folder: string;
let port: number;
let store: Store;
let operator: RunningOperator;

const startServer = () => ensureEmbedded({ folder, port });

before(async () => {
  cluster = await up('control-plane', { name: 'postgres-faults', fsync: false, fresh: true });
  folder = join(await ownFolder(), 'faults');
  port = await findFreePort();
  server = await startServer();
  await migrate(server.adminUrl, { appRole: decodeURIComponent(new URL(server.url).username) });
  store = await openStore({ url: server.url, applicationName: 'test' });
  operator = startOperator(store, { kubeconfig: cluster.kubeconfigPath });
});

after(async () => {
  await operator.stop();
  await store.close();
  await stopEmbedded({ folder });
  await cluster.down();
});

async function killPostgres(): Promise<void> {
  const status = await embeddedStatus({ folder });
  assert.equal(status.state, 'running');
  if (status.state === 'running') process.kill(status.pid, 'SIGKILL');
  await until('Postgres is gone', 10_000, async () => (await embeddedStatus({ folder })).state !== 'running');
}

/** What somebody other than the operator did to workers since `mark`. */
const podChanges = async (mark: number) =>
  (await auditSince(cluster.auditLogPath, mark)).filter(
    (e) => e.resource === 'pods' && ['create', 'delete'].includes(e.verb),
  );

test('Postgres killed and started again: resumed within 10 s, no worker restarted, one line lost and one back', async () => {
  const id = await applyJob(store, 'steady', SPEC);
  await untilPhase(store, id, 'Running');
  const mark = auditMark(cluster.auditLogPath);
  const lines = operator.log.lines.length;
  await killPostgres();
  await until('the loss is said', 15_000, () =>
    operator.log.lines.slice(lines).some((l) => l.message.includes('the goal store lost')),
  );
  server = await startServer();
  const resumed = await until('the operator resumes', RESUME_LIMIT_MS, () =>
    operator.log.lines.slice(lines).some((l) => l.message.includes('the goal store is back')),
  );
  assert.deepEqual(await podChanges(mark), []);
  await applyJob(store, 'steady', edited('app:2'));
  await untilPhase(store, id, 'Running', SEEN_LIMIT_MS - resumed.elapsedMs);
  const said = operator.log.lines.slice(lines).filter((l) => /the goal store (lost|is back)/.test(l.message));
  assert.equal(said.length, 2, JSON.stringify(said));
});

test('while Postgres is away nothing is written to the cluster, whatever happens there, and nothing is deleted', async () => {
  const id = await applyJob(store, 'steady', edited('app:3'));
  await untilPhase(store, id, 'Running');
  await killPostgres();
  // Past the end of the lease: nobody may be sure any more that the work is ours.
  await until('the work is given up', 15_000, () =>
    operator.log.lines.some((l) => l.message.includes('lease could not be renewed')),
  );
  const mark = auditMark(cluster.auditLogPath);
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  assert.deepEqual(await writesSince(cluster.auditLogPath, mark), []);
  server = await startServer();
  await applyJob(store, 'steady', edited('app:4'));
  await untilPhase(store, id, 'Running', SEEN_LIMIT_MS);
});

test('a store that suddenly shows no goal at all deletes nothing: absence is not a command', async () => {
  const id = await applyJob(store, 'steady', edited('app:4'));
  await untilPhase(store, id, 'Running');
  const mark = auditMark(cluster.auditLogPath);
  await sql(server.superuserUrl, 'alter table bulkhead.goal_head rename to goal_head_hidden');
  await sql(server.superuserUrl, 'create table bulkhead.goal_head (like bulkhead.goal_head_hidden including all)');
  await sql(server.superuserUrl, 'grant all on bulkhead.goal_head to bulkhead, bulkhead_app');
  try {
    await operator.stop();
    operator = startOperator(store, { kubeconfig: cluster.kubeconfigPath });
    await until('the operator watches', 20_000, () =>
      operator.log.lines.some((l) => l.message === 'watching the cluster'),
    );
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const writes = await writesSince(cluster.auditLogPath, mark);
    assert.deepEqual(
      writes.filter((write) => !raisesFence(write)),
      [],
    );
  } finally {
    await sql(server.superuserUrl, 'drop table bulkhead.goal_head');
    await sql(server.superuserUrl, 'alter table bulkhead.goal_head_hidden rename to goal_head');
  }
});

test('observations are disposable: with all of them deleted, the same statuses come back and no object is written', async () => {
  const id = await applyJob(store, 'steady', edited('app:4'));
  const before = await untilPhase(store, id, 'Running');
  await operator.stop();
  await sql(server.superuserUrl, 'delete from bulkhead.observation');
  const mark = auditMark(cluster.auditLogPath);
  operator = startOperator(store, { kubeconfig: cluster.kubeconfigPath });
  const again = await until('the status is back', 20_000, () => statusOf(store, id));
  const timeless = ({ conditions, ...rest }: typeof before) => ({
    ...rest,
    conditions: conditions.map((c) => [c.type, c.status, c.reason]),
  });
  assert.deepEqual(timeless(again.value), timeless(before));
  const writes = await writesSince(cluster.auditLogPath, mark);
  assert.deepEqual(
    writes.filter((write) => !raisesFence(write)),
    [],
  );
});

test('what a replica that died without a word had is taken over within 10 s', async () => {
  const id = await applyJob(store, 'steady', edited('app:4'));
  await untilPhase(store, id, 'Running');
  await operator.stop();
  // One that never renews again: what a kill -9 leaves behind.
  const crashed = { id: replicaId(randomUUID()), name: 'crashed', clusterId: null };
  assert.equal((await store.heartbeat(crashed, DEFAULT_LEASE_TIMING.ttlMs)).fences.length, SHARD_COUNT);
  const crashedAt = performance.now();
  operator = startOperator(store, { kubeconfig: cluster.kubeconfigPath });
  await applyJob(store, 'steady', edited('app:5'));
  await untilPhase(store, id, 'Running', 10_000);
  assert.ok(performance.now() - crashedAt < 10_000);
});
