import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Transport } from '../../src/cluster/transport.ts';
import type { JobId } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import type { Condition, JobStatus } from '../../src/job/status.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import { LABELS } from '../../src/plan/objects.ts';
import type { ObservedPod } from '../../src/plan/observation.ts';
import { workerImage } from '../cluster/images/index.ts';
import type { KindCluster } from '../cluster/index.ts';
import {
  bulkheadOn,
  type Command,
  eventsProcessed,
  kubectlOn,
  leaveKind,
  podsIn,
  sharedKind,
} from '../support/end-to-end.ts';
import { applyJob, connect, removeJob, startOperator, statusOf, untilPhase } from '../support/operator.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';

/** Real processes under the operator, which runs in this process: what goes well, and each way to fail as its condition. */

const READY_MS = 60_000;
/** The kubelet tries a container again after 10 to 20 s. */
const HEALED_MS = 90_000;

describe('workers in a real cluster', { timeout: 10 * 60_000 }, () => {
  let image: string;
  let cluster: KindCluster;
  let database: TestDatabase;
  let api: Transport;
  let bulkhead: Command;
  let kubectl: Command;
  /** A job that runs through all tests, and its pod: whatever happens to other jobs must not touch it. */
  let witness: { readonly status: JobStatus; readonly pod: ObservedPod };
  const jobs: string[] = [];

  /** Undoes what was done, the last first; also when `before` came no further than half-way. */
  const cleanup = new AsyncDisposableStack();
  after(() => cleanup.disposeAsync());

  before(async () => {
    image = (await workerImage()).ref;
    cleanup.defer(leaveKind);
    cluster = await sharedKind([image]);
    database = cleanup.use(await testDatabase());
    api = await connect(cluster);
    cleanup.defer(() => api.close());
    bulkhead = bulkheadOn(database.url, cluster);
    kubectl = await kubectlOn(cluster);
    cleanup.use(startOperator(database.store, { kubeconfig: cluster.kubeconfigPath }));
    cleanup.defer(removeAll);
    const id = await apply('witness', worker());
    const status = await untilPhase(database.store, id, 'Running', READY_MS);
    witness = { status, pod: await onlyPod('witness') };
  });

  test('a job becomes Running, and its worker processes the stream', async () => {
    assert.deepEqual(witness.status.workers, { desired: 1, ready: 1, restarts: 0 });
    await untilItWorks(witness.pod);
  });

  test('`bulkhead logs` prints what the worker writes', async () => {
    const lines = await until('a window is closed and written', 10_000, async () => {
      const text = await bulkhead('logs', 'ads/witness');
      return text === '' ? null : text.split('\n');
    });
    const [first = ''] = lines.value;
    assert.equal(JSON.parse(first).events, 1000, 'the first window of a stream of 1000 events a second');
  });

  test('a pod that is killed is replaced, and the job becomes Running again', async () => {
    const id = await apply('killed', worker({ replicas: 2 }));
    await untilPhase(database.store, id, 'Running', READY_MS);
    const [victim, survivor] = await podsIn(api, namespaceOf('killed'));
    assert.ok(victim && survivor);
    const path = `/api/v1/namespaces/${victim.namespace}/pods/${victim.name}`;
    await api.call('DELETE', path, { body: { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 } });
    await until('two pods are ready, one of them new', READY_MS, async () => {
      const ready = (await podsIn(api, namespaceOf('killed'))).filter((pod) => pod.ready).map((pod) => pod.uid);
      return ready.length === 2 && ready.includes(survivor.uid) && !ready.includes(victim.uid);
    });
    await untilPhase(database.store, id, 'Running', READY_MS);
    await removeJob(database.store, 'killed');
  });

  test('a program that insists on root ends as RootRequired, in its own words', async () => {
    const id = await apply('rooted', worker({ env: { REQUIRE_ROOT: '1' } }));
    const { message } = await untilStalled(id, 'RootRequired');
    assert.match(message, /this program must run as root/);
    await removeJob(database.store, 'rooted');
  });

  test('a missing Secret is SecretMissing, and the command that the condition names heals the job', async () => {
    const env = [{ name: 'SEED', secretKeyRef: { name: 'stream', key: 'seed' } }];
    const id = await apply('secretive', { ...worker(), container: { ...worker().container, env } });
    const { message } = await untilStalled(id, 'SecretMissing');
    const [, command = ''] = / with: kubectl (.*)$/.exec(message) ?? [];
    // VALUE is what a person puts in.
    await kubectl(...command.replace('VALUE', '7').split(' '));
    await untilPhase(database.store, id, 'Running', HEALED_MS);
    await removeJob(database.store, 'secretive');
  });

  test('a worker that takes more memory than it may is killed alone, and the job says OutOfMemory', async () => {
    const spec = worker({ env: { LEAK_MB_PER_SECOND: '200' } });
    const id = await apply('leaking', {
      ...spec,
      workers: { resources: { requests: { cpu: '10m', memory: '16Mi' }, limits: { memory: '64Mi' } } },
    });
    const { message } = await untilStalled(id, 'OutOfMemory');
    assert.match(message, /spec\.workers\.resources\.limits\.memory/, 'what to change is named');
    await removeJob(database.store, 'leaking');
  });

  test('an image that does not exist is ImagePullFailed; a job that runs goes on running while it is tried', async () => {
    const good = worker();
    const id = await apply('mistaken', good);
    await untilPhase(database.store, id, 'Running', READY_MS);
    const before = await onlyPod('mistaken');
    await apply('mistaken', { ...good, container: { ...good.container, image: 'registry.invalid/no/such:image' } });
    const { message } = await untilStalled(id, 'ImagePullFailed');
    assert.match(message, /registry\.invalid\/no\/such:image/);
    const pods = await podsIn(api, namespaceOf('mistaken'));
    const old = pods.find((pod) => pod.uid === before.uid);
    assert.ok(old?.ready, 'the worker with the good image is kept until another is ready');
    await apply('mistaken', good);
    const status = await untilPhase(database.store, id, 'Running', READY_MS);
    assert.equal(status.workers.restarts, 0);
  });

  test('through all of this the other job was neither restarted nor replaced, and goes on working', async () => {
    const pod = await onlyPod('witness');
    assert.deepEqual([pod.uid, pod.restarts], [witness.pod.uid, 0]);
    await untilItWorks(pod);
  });

  test('every cell enforces Pod Security restricted, and its pods are there all the same', async () => {
    const selector = `${LABELS.store}=${database.store.storeId}`;
    const cells = await listed('namespaces', '-l', selector);
    assert.ok(cells.length >= 2);
    for (const cell of cells) assert.equal(cell.metadata.labels['pod-security.kubernetes.io/enforce'], 'restricted');
    const pods = await listed('pods', '-A', '-l', selector);
    for (const name of ['witness', 'mistaken']) {
      assert.ok(
        pods.some((pod) => pod.metadata.namespace === namespaceOf(name)),
        `${name} has pods`,
      );
    }
  });

  function namespaceOf(name: string): string {
    return cellNamespace(database.store.storeId, { tenant: 'ads', name });
  }

  async function apply(name: string, spec: JobSpec): Promise<JobId> {
    jobs.push(name);
    return await applyJob(database.store, name, spec);
  }

  async function removeAll(): Promise<void> {
    for (const name of new Set(jobs)) await removeJob(database.store, name);
    await until('all cells are gone', READY_MS, async () => {
      // More than the brake lets go by itself.
      await database.store.releaseBrake({ author: 'test', source: 'cli', reason: 'the tests are over' });
      return (await database.store.heads()).length === 0;
    });
  }

  async function untilItWorks(pod: ObservedPod): Promise<void> {
    const first = await eventsProcessed(api, pod);
    await until('its counter rises', 5_000, async () => (await eventsProcessed(api, pod)) > first);
  }

  async function onlyPod(name: string): Promise<ObservedPod> {
    const [pod, ...others] = await podsIn(api, namespaceOf(name));
    assert.ok(pod && others.length === 0, `${name} has one pod`);
    return pod;
  }

  /** Waits for a condition that only a person can end. */
  async function untilStalled(id: JobId, reason: string): Promise<Condition> {
    const stalled = (status: JobStatus | null) => status?.conditions.find((c) => c.type === 'Stalled');
    const found = await until(`${reason} is said`, READY_MS, async () => {
      const condition = stalled(await statusOf(database.store, id));
      return condition?.reason === reason ? condition : null;
    });
    return found.value;
  }

  async function listed(...query: string[]): Promise<Listed[]> {
    return JSON.parse(await kubectl('get', ...query, '-o', 'json')).items;
  }

  function worker({ replicas = 1, env = {} }: { replicas?: number; env?: Record<string, string> } = {}): JobSpec {
    return {
      container: {
        image,
        env: Object.entries({ WINDOW_SECONDS: '1', ...env }).map(([name, value]) => ({ name, value })),
        ports: [{ name: 'http', port: 8080 }],
        probes: { readiness: { httpGet: { path: '/readyz', port: 'http' }, periodSeconds: 1 } },
      },
      workers: { replicas, resources: { requests: { cpu: '10m', memory: '32Mi' } } },
    };
  }
});

interface Listed {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels: Readonly<Record<string, string>>;
  };
}
