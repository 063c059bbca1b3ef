import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { IN_CLUSTER_CONTEXT } from '../../src/cluster/target.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { auditMark, writesSince } from '../support/audit.ts';
import { applyJob, startOperator, statusOf, untilPhase } from '../support/operator.ts';
import { testDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';

/** An operator in a pod, which knows every cluster by the same name and address, on real API servers and Postgres. */

const SPEC: JobSpec = { container: { image: 'app:1' }, workers: { replicas: 1 } };

let first: ControlPlaneCluster;
let second: ControlPlaneCluster;
let folder: string;

before(async () => {
  first = await up('control-plane', { name: 'succession-a', fsync: false, fresh: true });
  second = await up('control-plane', { name: 'succession-b', fsync: false, fresh: true });
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-'));
});

after(async () => {
  await first?.down();
  await second?.down();
  await rm(folder, { recursive: true });
});

/** What the operator takes for the inside of a pod: the client library's own name for it, as the context's. */
async function asInPod({ kubeconfigPath, context, name }: ControlPlaneCluster): Promise<string> {
  const text = (await readFile(kubeconfigPath, 'utf8')).replaceAll(context, 'inClusterContext');
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

test('a lost cluster is replaced without a person, once nobody has been connected to it for 30 s', async () => {
  await using database = await testDatabase();
  const id = await applyJob(database.store, 'comes-back', SPEC);
  const before = startOperator(database.store, { kubeconfig: await asInPod(first) });
  await untilPhase(database.store, id, 'Running');
  await before.stop();
  await first.down();

  const kubeconfig = await asInPod(second);
  const startedAt = performance.now();
  await using operator = startOperator(database.store, { kubeconfig });
  const known = await database.store.currentCluster();
  assert.equal(known?.contextName, IN_CLUSTER_CONTEXT);
  await until('the jobs are in the new cluster', 60_000, async () => {
    const status = await statusOf(database.store, id);
    return status?.phase === 'Running' && status.clusterId !== known?.id;
  });
  assert.ok(performance.now() - startedAt >= 30_000);
  const said = operator.log.lines.map(({ message }) => message).filter((message) => message.includes('is taken in'));
  assert.equal(said.length, 1, said.join('\n'));
  first = await up('control-plane', { name: 'succession-a', fsync: false, fresh: true });
});

test('while a replica works in the former cluster, nothing is written to another one: a person decides', async () => {
  await using database = await testDatabase();
  const id = await applyJob(database.store, 'stays', SPEC);
  await using home = startOperator(database.store, { kubeconfig: await asInPod(first) });
  await untilPhase(database.store, id, 'Running');
  const mark = auditMark(second.auditLogPath);
  await using other = startOperator(database.store, { kubeconfig: await asInPod(second) });
  await until('it is refused', 60_000, () =>
    other.log.lines.some(({ message }) => /ClusterChanged: .*replicas of this store work in the former/.test(message)),
  );
  assert.deepEqual(await writesSince(second.auditLogPath, mark), []);
  assert.equal((await statusOf(database.store, id))?.phase, 'Running');
  assert.ok(!home.log.lines.some(({ message }) => message.startsWith('ClusterChanged')));
});
