import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { streamJobPath } from '../../src/cluster/paths.ts';
import type { Transport } from '../../src/cluster/transport.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import type { StreamJobStatus } from '../../src/plan/stream-job.ts';
import { ClusterError } from '../../src/ports/cluster.ts';
import { KeptElsewhereError } from '../../src/ports/store.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { auditMark, writesSince } from '../support/audit.ts';
import { type Command, kubectlOn } from '../support/end-to-end.ts';
import { applyJob, connect, type RunningOperator, removeJob, startOperator, untilPhase } from '../support/operator.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';

/** kubectl as a way in: a real API server with the real CRD and policies, a real Postgres, pods played by kwok. */

const CRD = 'manifests/crd/streamjobs.yaml';
const READY_MS = 30_000;

let cluster: ControlPlaneCluster;
let database: TestDatabase;
let operator: RunningOperator;
let api: Transport;
let kubectl: Command;
let folder: string;

before(async () => {
  cluster = await up('control-plane', { name: 'stream-jobs', fsync: false, fresh: true });
  database = await testDatabase();
  api = await connect(cluster);
  kubectl = await kubectlOn(cluster);
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-'));
  // The operator first, its CRD later: both orders work.
  operator = startOperator(database.store, { kubeconfig: cluster.kubeconfigPath });
  await kubectl('apply', '--server-side', '-f', CRD);
  await kubectl('create', 'namespace', 'ads');
  await untilTaken();
});

/** Policies that mutate learn of a new kind with the API server's next look for such, a few seconds later. */
async function untilTaken(): Promise<void> {
  await writeFile(fileOf('probe'), yaml('probe', SPEC));
  const tried = () => kubectl('apply', '--dry-run=server', '-f', fileOf('probe')).catch(() => null);
  await until('StreamJobs are taken', READY_MS, async () => (await tried()) !== null);
}

after(async () => {
  await operator?.stop();
  await api?.close();
  await database?.[Symbol.asyncDispose]();
  await cluster?.down();
  if (folder) await rm(folder, { recursive: true });
});

const yaml = (name: string, spec: JobSpec, tenant = 'ads'): string =>
  JSON.stringify({
    apiVersion: 'bulkhead.dev/v1alpha1',
    kind: 'StreamJob',
    metadata: { name, namespace: tenant },
    spec,
  });

const fileOf = (name: string): string => join(folder, `${name}.json`);

async function applied(name: string, spec: JobSpec, ...flags: string[]): Promise<void> {
  await appliedTo('ads', name, spec, ...flags);
}

async function appliedTo(tenant: string, name: string, spec: JobSpec, ...flags: string[]): Promise<void> {
  await writeFile(fileOf(name), yaml(name, spec, tenant));
  await kubectl('apply', ...flags, '-f', fileOf(name));
}

interface Live {
  readonly metadata: {
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation: number;
    readonly finalizers?: readonly string[];
  };
  readonly spec: JobSpec;
  readonly status?: StreamJobStatus;
}

const live = async (name: string, tenant = 'ads'): Promise<Live> =>
  (await api.call('GET', streamJobPath({ tenant, name }))) as Live;

const liveOrNull = (name: string, tenant = 'ads'): Promise<Live | null> =>
  live(name, tenant).catch((error: unknown) => {
    if (error instanceof ClusterError && error.kind === 'gone') return null;
    throw error;
  });

const ready = (object: Live | null) => object?.status?.conditions.find(({ type }) => type === 'Ready');

async function untilReady(name: string, tenant = 'ads'): Promise<Live> {
  const check = async () => {
    const object = await liveOrNull(name, tenant);
    const isCurrent = object?.status?.observedGeneration === object?.metadata.generation;
    return object && isCurrent && ready(object)?.status === 'True' ? object : null;
  };
  return (await until(`${tenant}/${name} is ready`, READY_MS, check)).value;
}

const SPEC: JobSpec = { container: { image: 'app:1' }, workers: { replicas: 2 } };
const goalOf = async (name: string, tenant = 'ads') => {
  const goal = await database.store.find({ tenant, name });
  assert.ok(goal, `${tenant}/${name} has a goal`);
  return goal;
};
const head = async (name: string) => (await goalOf(name)).layers.job;

test('kubectl apply makes a goal whose id is the object’s UID; wait, get and the author work', async () => {
  await applied('first', SPEC);
  await kubectl('wait', '--for=condition=Ready', 'sj/first', '-n', 'ads', '--timeout=30s');
  const object = await live('first');
  const goal = await goalOf('first');
  assert.equal(goal.job.id, object.metadata.uid);
  assert.equal(goal.layers.job.source, 'kubectl');
  assert.doesNotMatch(goal.layers.job.author, /unverified/);
  assert.equal(object.status?.specRevision, 1);
  const table = await kubectl('get', 'sj', '-n', 'ads');
  assert.match(
    table,
    /NAME\s+READY\s+PHASE\s+WORKERS\s+TIER\s+REVISION\s+AGE\nfirst\s+True\s+Running\s+2\/2\s+namespace\s+1\s/,
  );
});

test('an edit is a revision on the one that the status names; equal content is none', async () => {
  await applied('edited', SPEC);
  await untilReady('edited');
  await applied('edited', { ...SPEC, workers: { replicas: 3 } });
  await until('revision 2', 10_000, async () => (await head('edited')).revision === 2);
  await kubectl('annotate', 'sj/edited', '-n', 'ads', 'note=hello');
  await untilReady('edited');
  assert.equal((await head('edited')).revision, 2, 'an annotation is no edit');
});

test('kubectl scale writes layer job, also where the spec names no number', async () => {
  await applied('scaled', { container: SPEC.container });
  await untilReady('scaled');
  await kubectl('scale', 'sj/scaled', '-n', 'ads', '--replicas=4');
  const scaled = await until('4 workers', READY_MS, async () => (await live('scaled')).status?.workers === '4/4');
  assert.ok(scaled);
  const revision = await head('scaled');
  assert.deepEqual(revision.content, { kind: 'spec', spec: { container: SPEC.container, workers: { replicas: 4 } } });
  assert.match(revision.author, /^unverified \(manager kubectl/, 'the scale subresource carries no stamp');
});

test('a goal that the CLI made has an object too, and later changes are written back', async () => {
  const id = await applyJob(database.store, 'from-cli', SPEC, 'shop');
  await untilPhase(database.store, id, 'Running');
  const object = await untilReady('from-cli', 'shop');
  assert.deepEqual(object.spec, SPEC, 'its namespace was made for it, bare');
  await applyJob(database.store, 'from-cli', { ...SPEC, workers: { replicas: 1 } }, 'shop');
  await until('written back', 10_000, async () => (await live('from-cli', 'shop')).spec.workers?.replicas === 1);
  const after = await untilReady('from-cli', 'shop');
  assert.equal(after.status?.specRevision, 2);
  assert.equal((await goalOf('from-cli', 'shop')).revision, 2, 'what we wrote ourselves is no edit');
});

test('what another manager keeps is not changed by the CLI, unless it takes over', async () => {
  await applied('kept', SPEC, '--server-side', '--field-manager=argocd-controller');
  await untilReady('kept');
  const change = {
    job: { tenant: 'ads', name: 'kept' },
    content: { kind: 'spec', spec: { ...SPEC, workers: { replicas: 1 } } },
  } as const;
  const origin = { author: 'bob', source: 'cli', reason: null } as const;
  await assert.rejects(database.store.write([change], origin), KeptElsewhereError);
  await database.store.write([{ ...change, takeOver: true }], origin);
  await until('taken over', 10_000, async () => (await live('kept')).spec.workers?.replicas === 1);
});

test('ten server-side applies by another manager change nothing: no endless diff', async () => {
  const flags = ['--server-side', '--field-manager=argocd-controller', '--force-conflicts'];
  await applied('gitops', SPEC, ...flags);
  const before = await untilReady('gitops');
  for (let time = 0; time < 10; time += 1) await applied('gitops', SPEC, ...flags);
  const after = await live('gitops');
  assert.equal(after.metadata.resourceVersion, before.metadata.resourceVersion);
  assert.equal((await head('gitops')).revision, 1);
});

test('where both sides were changed the store wins, and an Event says what was overruled', async () => {
  await applied('both', SPEC);
  await untilReady('both');
  await operator.stop();
  const spec = { ...SPEC, workers: { replicas: 5 } };
  await database.store.write(
    [{ job: { tenant: 'ads', name: 'both' }, content: { kind: 'spec', spec }, takeOver: true }],
    {
      author: 'bob',
      source: 'cli',
      reason: null,
    },
  );
  await applied('both', { ...SPEC, suspended: true });
  operator = startOperator(database.store, { kubeconfig: cluster.kubeconfigPath });
  await until('the store has won', READY_MS, async () => (await live('both')).spec.suspended === undefined);
  assert.deepEqual((await untilReady('both')).spec, spec);
  const events = await until('the event', 10_000, async () => {
    const said = await kubectl('get', 'events', '-n', 'ads', '--field-selector', 'reason=Overruled', '-o', 'json');
    return said.includes('spec.suspended') ? said : null;
  });
  assert.match(events.value, /revision 2 \(bob, by cli\) came first and stands/);
});

test('a spec that breaks a rule gets a condition with field, reason and remedy, and no loop', async () => {
  await applied('wrong', { ...SPEC, container: { image: 'app:1', env: [{ name: 'A', value: 'x'.repeat(10) }] } });
  await untilReady('wrong');
  await kubectl(
    'patch',
    'sj/wrong',
    '-n',
    'ads',
    '--type=merge',
    '-p',
    '{"spec":{"workers":{"resources":{"requests":{"memory":"1Gi"}}}}}',
  );
  const refused = await until('refused', 10_000, async () => {
    const object = await live('wrong');
    return ready(object)?.reason === 'EditRefused' ? object : null;
  });
  assert.match(ready(refused.value)?.message ?? '', /revision 1 goes on unchanged.*requests.*memory/s);
  // The Event follows the condition.
  await sleep(2_000);
  const mark = auditMark(cluster.auditLogPath);
  await sleep(5_000);
  assert.deepEqual(await writesSince(cluster.auditLogPath, mark), []);
  assert.equal((await head('wrong')).revision, 1);
});

test('kubectl delete is a tombstone, and the finalizer goes at once', async () => {
  await applied('removed', SPEC);
  const { metadata } = await untilReady('removed');
  await kubectl('delete', 'sj/removed', '-n', 'ads', '--timeout=10s');
  const removed = await database.store.findRemoved({ tenant: 'ads', name: 'removed' });
  assert.equal(removed?.goal.job.id, metadata.uid);
  assert.equal(removed?.goal.layers.job.source, 'kubectl');
});

test('a job that was removed elsewhere takes its object along', async () => {
  await applyJob(database.store, 'gone', SPEC);
  await untilReady('gone');
  await removeJob(database.store, 'gone');
  await until('the object is gone', 10_000, async () => (await liveOrNull('gone')) === null);
  assert.equal(await database.store.find({ tenant: 'ads', name: 'gone' }), null);
});

test('a namespace that is deleted is no command: goals stay, and all comes back', async () => {
  await kubectl('create', 'namespace', 'mail');
  const spec = { ...SPEC };
  await appliedTo('mail', 'news', spec);
  const before = await untilReady('news', 'mail');
  await kubectl('delete', 'namespace', 'mail', '--timeout=60s');
  const after = await until('it is back', READY_MS, async () => {
    const object = await liveOrNull('news', 'mail');
    return object && object.metadata.uid !== before.metadata.uid && ready(object)?.status === 'True' ? object : null;
  });
  assert.deepEqual(after.value.spec, spec);
  assert.equal((await goalOf('news', 'mail')).job.id, before.metadata.uid);
});

test('a definition that is deleted is no command: every object comes back with it', async () => {
  const before = await database.store.list();
  await kubectl('delete', 'crd', 'streamjobs.bulkhead.dev', '--timeout=60s');
  assert.equal((await database.store.list()).length, before.length);
  await kubectl('apply', '--server-side', '-f', CRD);
  for (const { job } of before) await untilReady(job.name, job.tenant);
});

test('at rest nothing is written, and a watch shows nothing', async () => {
  await sleep(3_000);
  const mark = auditMark(cluster.auditLogPath);
  await sleep(15_000);
  assert.deepEqual(await writesSince(cluster.auditLogPath, mark), []);
});
