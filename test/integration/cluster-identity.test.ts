import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { collectionPath } from '../../src/cluster/paths.ts';
import { clusterId, type JobId } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { auditMark, writesSince } from '../support/audit.ts';
import { cellHashes } from '../support/cell-hash.ts';
import { applyJob, connect, removeJob, startOperator, statusOf, untilPhase } from '../support/operator.ts';
import { testDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';

/** Which cluster a store's jobs live in (design: "Who is who"), on real API servers. */

const SPEC: JobSpec = { container: { image: 'app:1' }, workers: { replicas: 1 } };
const ACCEPT = /--accept-cluster ([0-9a-f-]{36})/;

let first: ControlPlaneCluster;
let second: ControlPlaneCluster;
let folder: string;

before(async () => {
  first = await up('control-plane', { name: 'identity-a', fsync: false, fresh: true });
  second = await up('control-plane', { name: 'identity-b', fsync: false, fresh: true });
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-'));
});

after(async () => {
  await first.down();
  await second.down();
  await rm(folder, { recursive: true });
});

/** One kubeconfig with both clusters, as people have it. */
function mergedKubeconfig(): string {
  const merged = new KubeConfig();
  merged.loadFromFile(first.kubeconfigPath);
  const other = new KubeConfig();
  other.loadFromFile(second.kubeconfigPath);
  merged.mergeConfig(other, true);
  const file = join(folder, 'kubeconfig');
  writeFileSync(file, merged.exportConfig());
  return file;
}

const watching = (operator: { log: { lines: readonly { message: string }[] } }) =>
  until('the operator watches', 20_000, () =>
    operator.log.lines.some((line) => line.message === 'watching the cluster'),
  );

async function namespaceUid(cluster: ControlPlaneCluster, name: string): Promise<string | null> {
  const api = await connect(cluster);
  try {
    const found = (await api.call('GET', `${collectionPath('Namespace')}/${name}`)) as { metadata: { uid: string } };
    return found.metadata.uid;
  } catch {
    // Not there: what the test wants to know.
    return null;
  } finally {
    await api.close();
  }
}

test('the context switched to another cluster: jobs wait as ClusterChanged, nothing is written there, and a person can decide', async () => {
  await using database = await testDatabase();
  const kubeconfig = mergedKubeconfig();
  const id = await applyJob(database.store, 'stays', SPEC);
  const before = startOperator(database.store, { kubeconfig, context: first.context });
  await untilPhase(database.store, id, 'Running');
  await before.stop();

  const marks = [auditMark(first.auditLogPath), auditMark(second.auditLogPath)] as const;
  const switched = startOperator(database.store, { kubeconfig, context: second.context });
  const status = await untilPhase(database.store, id, 'Waiting');
  await switched.stop();
  const [ready, stalled] = status.conditions;
  assert.deepEqual([ready?.status, stalled?.type, stalled?.reason], ['Unknown', 'Stalled', 'ClusterChanged']);
  assert.deepEqual(await writesSince(first.auditLogPath, marks[0]), []);
  assert.deepEqual(await writesSince(second.auditLogPath, marks[1]), []);

  const accepted = clusterId(ACCEPT.exec(stalled?.message ?? '')?.[1] ?? '');
  await database.store.acceptCluster(accepted, { author: 'test', source: 'cli', reason: null });
  const moved = startOperator(database.store, { kubeconfig, context: second.context });
  await untilPhase(database.store, id, 'Running');
  await moved.stop();
  const cell = cellNamespace(database.store.storeId, { tenant: 'ads', name: 'stays' });
  assert.ok(await namespaceUid(second, cell), 'after the decision the jobs move');
  assert.ok(await namespaceUid(first, cell), 'the former cluster is never touched');
});

test('two stores on one cluster: each sees only its own cells, also when the same job is removed from one', async () => {
  await using one = await testDatabase();
  await using two = await testDatabase();
  await using operatorOne = startOperator(one.store, { kubeconfig: first.kubeconfigPath });
  await using operatorTwo = startOperator(two.store, { kubeconfig: first.kubeconfigPath });
  const [idOne, idTwo] = [await applyJob(one.store, 'same', SPEC), await applyJob(two.store, 'same', SPEC)];
  await Promise.all([untilPhase(one.store, idOne, 'Running'), untilPhase(two.store, idTwo, 'Running')]);
  const cell = cellNamespace(two.store.storeId, { tenant: 'ads', name: 'same' });
  const uid = await namespaceUid(first, cell);
  const mark = auditMark(first.auditLogPath);
  await removeJob(one.store, 'same');
  await untilPhase(one.store, idOne, 'Gone', 60_000);
  assert.equal(await namespaceUid(first, cell), uid);
  assert.deepEqual(
    (await writesSince(first.auditLogPath, mark)).filter((w) => w.uri.includes(cell)),
    [],
  );
  assert.ok(
    [operatorOne, operatorTwo].every((o) => !o.log.lines.some((line) => line.message.includes('without a goal'))),
  );
});

test('a lost cluster, replaced by an empty one under the same context, is rebuilt from Postgres to the same hash', async () => {
  await using database = await testDatabase();
  second = await up('control-plane', { name: 'identity-b', fsync: false, fresh: true });
  await using operator = startOperator(database.store, { kubeconfig: second.kubeconfigPath });
  const ids = await Promise.all(['one', 'two', 'three'].map((name) => applyJob(database.store, name, SPEC)));
  for (const id of ids) await untilPhase(database.store, id, 'Running');
  const hashes = await cellHashes(second, database.store.storeId);
  const formerCluster = (await statusOf(database.store, ids[0] as JobId))?.clusterId;

  await second.down();
  await until('the loss is said', 20_000, () =>
    operator.log.lines.some((line) => line.message.includes('the cluster lost')),
  );
  second = await up('control-plane', { name: 'identity-b', fsync: false, fresh: true });

  for (const id of ids) {
    await until(`${id} runs in the new cluster`, 60_000, async () => {
      const status = await statusOf(database.store, id);
      return status?.phase === 'Running' && status.clusterId !== formerCluster;
    });
  }
  assert.equal(hashes.size, 3);
  assert.deepEqual(await cellHashes(second, database.store.storeId), hashes);
});

test('a replaced cluster that holds cells of another store is not taken: a person decides', async () => {
  await using mine = await testDatabase();
  await using other = await testDatabase();
  second = await up('control-plane', { name: 'identity-b', fsync: false, fresh: true });
  const id = await applyJob(mine.store, 'mine', SPEC);
  const before = startOperator(mine.store, { kubeconfig: second.kubeconfigPath });
  await untilPhase(mine.store, id, 'Running');
  await before.stop();

  second = await up('control-plane', { name: 'identity-b', fsync: false, fresh: true });
  const theirs = startOperator(other.store, { kubeconfig: second.kubeconfigPath });
  await watching(theirs);
  await untilPhase(other.store, await applyJob(other.store, 'theirs', SPEC), 'Running');
  await theirs.stop();

  const mark = auditMark(second.auditLogPath);
  await using again = startOperator(mine.store, { kubeconfig: second.kubeconfigPath });
  const status = await untilPhase(mine.store, id, 'Waiting');
  assert.match(status.conditions[0]?.message ?? '', /cells of another store/);
  assert.deepEqual(await writesSince(second.auditLogPath, mark), []);
  assert.ok(again.log.lines.some((line) => line.message.startsWith('ClusterChanged')));
});
