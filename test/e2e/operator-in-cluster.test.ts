import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { OPERATOR_RIGHTS, type Right } from '../../src/cli/rights.ts';
import type { Transport } from '../../src/cluster/transport.ts';
import type { JobStatus } from '../../src/job/status.ts';
import { CELL_KINDS, LABELS } from '../../src/plan/objects.ts';
import { findFreePort } from '../../src/store/embedded/port.ts';
import { ensureEmbedded } from '../../src/store/embedded.ts';
import { migrate } from '../../src/store/migrate.ts';
import { operatorImage, workerImage } from '../cluster/images/index.ts';
import type { KindCluster } from '../cluster/index.ts';
import { auditMark, auditSince } from '../support/audit.ts';
import { bulkheadOn, type Command, kubectlOn, leaveKind, podsIn, sharedKind } from '../support/end-to-end.ts';
import { connect } from '../support/operator.ts';
import { ownFolder } from '../support/postgres.ts';

/** The operator as it is installed: its image, manifests/ by kustomize, the database on the host, and kubectl's view. */

const CHECKOUT = join(import.meta.dirname, '../..');
/** Two folders deep like manifests/overlays/, so that kustomize's paths, which are relative, are short. */
const WORK_DIR = join(CHECKOUT, '.bulkhead/e2e');
const SYSTEM = 'bulkhead-system';
const ACCOUNT = `system:serviceaccount:${SYSTEM}:bulkhead-operator`;
const JOB = 'ads/clicks';
const READY_MS = 60_000;

describe('the operator in a cluster', { timeout: 10 * 60_000 }, () => {
  let cluster: KindCluster;
  let workers: string;
  let api: Transport;
  let bulkhead: Command;
  let kubectl: Command;
  let mark: number;

  /** Undoes what was done, the last first; also when `before` came no further than half-way. */
  const cleanup = new AsyncDisposableStack();
  after(() => cleanup.disposeAsync());

  before(async () => {
    workers = (await workerImage()).ref;
    cleanup.defer(leaveKind);
    cluster = await sharedKind([workers]);
    // The Docker daemon that this needs runs as long as the cluster does.
    const { ref } = await operatorImage();
    await cluster.loadImages([ref]);
    const { url, adminUrl, appRole } = await ensureEmbedded({
      folder: join(await ownFolder(), 'for-pods'),
      port: await findFreePort(),
      listen: isOwn(cluster.hostAddress) ? [cluster.hostAddress] : [],
    });
    await migrate(adminUrl, { appRole });
    api = await connect(cluster);
    cleanup.defer(() => api.close());
    bulkhead = bulkheadOn(url, cluster);
    kubectl = await kubectlOn(cluster);
    mark = auditMark(cluster.auditLogPath);
    cleanup.defer(() => rm(WORK_DIR, { recursive: true, force: true }));
    await writeOverlay(ref);
    // What a run that was killed left would go on with its own database, which is gone.
    await uninstall();
    cleanup.defer(uninstall);
    await install(url);
  });

  test('it becomes Available under Pod Security restricted, without root and without a disk to write to', async () => {
    await available();
    const namespace = await object('namespace', SYSTEM);
    assert.equal(namespace.metadata.labels['pod-security.kubernetes.io/enforce'], 'restricted');
    const pods = await podsIn(api, SYSTEM);
    assert.deepEqual(
      pods.map((pod) => [pod.ready, pod.restarts]),
      [
        [true, 0],
        [true, 0],
      ],
    );
  });

  test('a goal becomes Running with real pods', async () => {
    await applyGoal({ replicas: 2 });
    const { status } = await goal();
    assert.equal(status.phase, 'Running');
    const pods = await podsIn(api, status.cell.namespace);
    assert.deepEqual(
      pods.map((pod) => [pod.phase, pod.ready]),
      [
        ['Running', true],
        ['Running', true],
      ],
    );
  });

  test('kubectl sees what the CLI says: names, labels, counts and conditions agree', async () => {
    const { metadata, status } = await goal();
    const deployment = await object('deployment', 'clicks', status.cell.namespace);
    for (const it of [deployment, await object('namespace', status.cell.namespace)]) {
      const labels = [LABELS.tenant, LABELS.job, LABELS.jobId, LABELS.revision].map((name) => it.metadata.labels[name]);
      assert.deepEqual(labels, ['ads', 'clicks', metadata.uid, String(metadata.generation)], it.metadata.name);
    }
    assert.equal(status.observedGeneration, metadata.generation);
    assert.deepEqual(
      [status.workers.ready, status.workers.desired],
      [deployment.status?.readyReplicas, deployment.spec?.replicas],
    );
    const conditionOf = (list: readonly { type: string; status: string }[] = [], type: string) =>
      list.find((condition) => condition.type === type)?.status;
    assert.equal(conditionOf(status.conditions, 'Ready'), conditionOf(deployment.status?.conditions, 'Available'));
    assert.equal(status.cell.clusterId, (await object('namespace', 'kube-system')).metadata.uid);
  });

  test('`bulkhead describe` says who does the work, where, and that a look of its own agrees', async () => {
    const { status } = await goal();
    const pods = await podsIn(api, SYSTEM);
    const text = await bulkhead('describe', JOB);
    assert.match(text, /2 of 2 ready, 0 restarts/);
    for (const word of [status.cell.namespace, status.cell.clusterId]) {
      assert.ok(text.includes(word), `${word} in ${text}`);
    }
    assert.ok(
      pods.some(({ name }) => text.includes(name)),
      `a replica in ${text}`,
    );
    const settled = text.match(/nothing: the cell matches its goal/g);
    assert.equal(settled?.length, 2, `the operator and a live look say the same:\n${text}`);
  });

  test('the operator is killed: no worker is restarted or replaced, and the next change is carried out', async () => {
    const { status } = await goal();
    const before = await podsIn(api, status.cell.namespace);
    const [killed] = await podsIn(api, SYSTEM);
    assert.ok(killed);
    await kubectl('-n', SYSTEM, 'delete', 'pod', killed.name, '--grace-period=0', '--force');
    await applyGoal({ replicas: 3 });
    const now = await podsIn(api, status.cell.namespace);
    const kept = now.filter((pod) => before.some(({ uid }) => uid === pod.uid));
    assert.deepEqual([now.length, kept.length], [3, 2]);
    assert.ok(now.every((pod) => pod.restarts === 0));
    await available();
    assert.ok((await podsIn(api, SYSTEM)).every(({ uid }) => uid !== killed.uid));
  });

  test('a removed job leaves nothing behind', async () => {
    const { status } = await goal();
    await bulkhead('delete', JOB, '--wait', '--timeout', '60s');
    const found = await kubectl('get', 'namespace', status.cell.namespace, '--ignore-not-found', '-o', 'name');
    assert.equal(found, '');
  });

  test('its rights were enough, and nothing but them was asked for', async () => {
    const calls = await auditSince(cluster.auditLogPath, mark);
    const own = calls.filter((call) => call.user === ACCOUNT && call.group !== 'authorization.k8s.io');
    // The proof of the fence is to be refused.
    const proofs = own.filter((call) => call.uri.includes('dryRun=All'));
    assert.deepEqual(
      own.filter((call) => (call.code === 401 || call.code === 403) && !proofs.includes(call)),
      [],
    );
    assert.ok(
      proofs.every((call) => call.verb === 'create' && call.resource === 'serviceaccounts'),
      'nothing else is only tried',
    );
    const text = ({ verb, group, resource }: Right) => `${verb} ${resource}.${group}`;
    const used = new Set(own.map(text));
    const granted = new Set(OPERATOR_RIGHTS.map(text));
    assert.deepEqual(
      [...used].filter((right) => !granted.has(right)),
      [],
    );
    // What this file does not make necessary: to look at, mark or delete a single part of a cell.
    const unused = [...granted].filter((right) => !used.has(right));
    const unexpected = unused.filter(
      (right) => !/^(get|patch|delete) /.test(right) || / (namespaces|configmaps)\.$/.test(right),
    );
    assert.deepEqual(unexpected, [], 'a right that nothing needs is not to be granted');
    assert.equal(OPERATOR_RIGHTS.length, Object.keys(CELL_KINDS).length * 7 + 2 + 2);
  });

  /** The production overlay with the image under the name that its sources give it, so that a new one is rolled out. */
  async function writeOverlay(image: string): Promise<void> {
    const [newName, newTag] = image.split(':');
    const kustomization = {
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: ['../../manifests/overlays/production'],
      images: [{ name: newName, newTag }],
    };
    await mkdir(WORK_DIR, { recursive: true });
    await writeFile(join(WORK_DIR, 'kustomization.yaml'), stringify(kustomization));
  }

  /** As manifests/overlays/production says. */
  async function install(databaseUrl: string): Promise<void> {
    const url = new URL(databaseUrl);
    url.hostname = cluster.hostAddress;
    // The embedded server has no certificate.
    url.searchParams.set('sslmode', 'disable');
    await kubectl('apply', '--server-side', '-k', WORK_DIR);
    await kubectl('-n', SYSTEM, 'create', 'secret', 'generic', 'bulkhead-database', `--from-literal=url=${url.href}`);
  }

  async function uninstall(): Promise<void> {
    await bulkhead('uninstall', '--yes');
  }

  async function available(): Promise<void> {
    const deployment = 'deployment/bulkhead-operator';
    try {
      const timeout = `--timeout=${READY_MS / 1000}s`;
      await kubectl('-n', SYSTEM, 'wait', deployment, '--for=condition=Available', timeout);
    } catch (cause) {
      const log = await kubectl('-n', SYSTEM, 'logs', deployment, '--tail=20');
      throw new Error(`the operator does not become Available; it says:\n${log}`, { cause });
    }
  }

  async function applyGoal({ replicas }: { replicas: number }): Promise<void> {
    const file = join(WORK_DIR, 'job.yaml');
    const [namespace, name] = JOB.split('/');
    const job = {
      apiVersion: 'bulkhead.dev/v1alpha1',
      kind: 'StreamJob',
      metadata: { name, namespace },
      spec: {
        container: {
          image: workers,
          ports: [{ name: 'http', port: 8080 }],
          probes: { readiness: { httpGet: { path: '/readyz', port: 'http' }, periodSeconds: 1 } },
        },
        workers: { replicas, resources: { requests: { cpu: '10m', memory: '32Mi' } } },
      },
    };
    await writeFile(file, stringify(job));
    await bulkhead('apply', '-f', file, '--wait', '--timeout', `${READY_MS / 1000}s`);
  }

  async function goal(): Promise<ShownJob> {
    return JSON.parse(await bulkhead('get', JOB, '-o', 'json'));
  }

  async function object(kind: string, name: string, namespace = 'default'): Promise<ShownObject> {
    return JSON.parse(await kubectl('-n', namespace, 'get', kind, name, '-o', 'json'));
  }
});

/** With Docker Desktop the address is not this machine's: there, what listens on 127.0.0.1 is reached by it. */
const isOwn = (address: string): boolean =>
  Object.values(networkInterfaces()).some((list) => list?.some((it) => it.address === address));

interface ShownJob {
  readonly metadata: { readonly uid: string; readonly generation: number };
  readonly status: Pick<JobStatus, 'phase' | 'conditions' | 'workers'> & {
    readonly observedGeneration: number;
    readonly cell: { readonly namespace: string; readonly clusterId: string };
  };
}

interface ShownObject {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly spec?: { readonly replicas?: number };
  readonly status?: {
    readonly readyReplicas?: number;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}
