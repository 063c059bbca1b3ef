import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppsV1Api, CoreV1Api, KubeConfig, type V1Container, type V1Pod } from '@kubernetes/client-node';
import { probeImage, workerImage } from '../cluster/images/index.ts';
import { nodeContainers, runningDocker } from '../cluster/kind/docker.ts';
import { DEFAULT_KIND_NAME, type KindCluster, kindDown, kindStatus, kindUp } from '../cluster/kind/index.ts';
import { killPrivateDocker, privateDockerIsInUse, privateDockerTraces } from '../cluster/kind/private-docker.ts';

const NAMESPACE = 'kind-cluster-test';
const KEEP = process.env.BULKHEAD_KEEP === '1';
const TIMEOUT_MS = 90_000;
const POLL_MS = 250;

describe('kind cluster', { timeout: 30 * 60_000 }, () => {
  let cluster: KindCluster;
  let core: CoreV1Api;
  let apps: AppsV1Api;
  let images: { worker: string; probe: string };

  before(async () => {
    cluster = await kindUp({ name: DEFAULT_KIND_NAME });
    images = { worker: (await workerImage()).ref, probe: (await probeImage()).ref };
    await cluster.loadImages([images.worker, images.probe]);
    const config = new KubeConfig();
    config.loadFromFile(cluster.kubeconfigPath);
    core = config.makeApiClient(CoreV1Api);
    apps = config.makeApiClient(AppsV1Api);
    await removeNamespace();
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await core.createNamespace({ body: { metadata: { name: NAMESPACE, labels } } });
    await until('its service account', () =>
      core.readNamespacedServiceAccount({ name: 'default', namespace: NAMESPACE }),
    );
  });

  after(async () => {
    if (KEEP) await removeNamespace();
    else await kindDown(DEFAULT_KIND_NAME);
  });

  test('a worker without a registry, root or a writable disk becomes available and processes events', async () => {
    const labels = { app: 'worker' };
    const worker = container('worker', images.worker, [], { WINDOW_SECONDS: '1' });
    worker.readinessProbe = { httpGet: { path: '/readyz', port: 8080 }, periodSeconds: 1 };
    const spec = { containers: [worker], terminationGracePeriodSeconds: 1 };
    await apps.createNamespacedDeployment({
      namespace: NAMESPACE,
      body: {
        metadata: { name: 'worker' },
        spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
      },
    });
    const ports = [{ port: 80, targetPort: 8080 }];
    await core.createNamespacedService({
      namespace: NAMESPACE,
      body: { metadata: { name: 'worker' }, spec: { selector: labels, ports } },
    });
    await until('the Deployment to be available', async () => {
      const { status } = await apps.readNamespacedDeployment({ name: 'worker', namespace: NAMESPACE });
      return status?.availableReplicas === 1;
    });

    const first = await eventsProcessed();
    await until('the counter to rise', async () => (await eventsProcessed()) > first);
    const [pod] = (await core.listNamespacedPod({ namespace: NAMESPACE, labelSelector: 'app=worker' })).items;
    const name = pod?.metadata?.name ?? '';
    const [line] = await until('a line in the log', async () => {
      const log = await core.readNamespacedPodLog({ name, namespace: NAMESPACE });
      return log ? log.split('\n') : undefined;
    });
    assert.equal(JSON.parse(line ?? '').events, 1000, 'the first window of a stream of 1000 events a second');
  });

  test('a memory limit is enforced by the kernel and seen as OOMKilled', async () => {
    const leaking = container('leaking', images.worker, [], { LEAK_MB_PER_SECOND: '100' });
    leaking.resources = { limits: { memory: '32Mi' } };
    await createPod(leaking);
    const ended = await podEnds('leaking');
    assert.equal(ended.status?.containerStatuses?.[0]?.state?.terminated?.reason, 'OOMKilled');
  });

  test('pods resolve names of the cluster', async () => {
    await createPod(container('dns', images.probe, ['dns', 'kubernetes.default.svc.cluster.local']));
    assert.match(await outputOf('dns'), /^10\.96\.0\.1\b/);
  });

  test('a pod reaches a server on the host at the address the cluster names', async () => {
    const server = createServer((_, response) => response.end('from the host'));
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      await createPod(container('to-host', images.probe, ['get', `http://${cluster.hostAddress}:${port}/`]));
      assert.equal(await outputOf('to-host'), 'from the host\n');
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  test('Pod Security refuses a pod that does not give up privileges', async () => {
    await assert.rejects(createPod({ name: 'careless', image: images.probe }), /violates PodSecurity/);
  });

  test('the audit log on the host names each write', async () => {
    await until('the create in the audit log', async () => {
      const lines = (await readFile(cluster.auditLogPath, 'utf8')).trim().split('\n');
      const events = lines.map((line) => JSON.parse(line));
      return events.some(
        ({ verb, objectRef }) =>
          verb === 'create' && objectRef?.resource === 'deployments' && objectRef.namespace === NAMESPACE,
      );
    });
  });

  test('a healthy cluster is taken as it is, under the same name', async () => {
    const uid = async () => (await core.readNamespace({ name: 'kube-system' })).metadata?.uid;
    const before = await uid();
    const again = await kindUp({ name: DEFAULT_KIND_NAME });
    assert.equal(await uid(), before);
    assert.equal(again.kubeconfigPath, cluster.kubeconfigPath);
    const status = (await kindStatus()).find(({ name }) => name === cluster.name);
    assert.equal(status?.state, 'running');
  });

  test('nothing is left after down, also when everything was killed before', {
    skip: KEEP && 'BULKHEAD_KEEP=1',
  }, async () => {
    // A user's own Docker stays as it is, and so does a private one that has clusters of others.
    const isOurs = (await privateDockerIsInUse()) && (await clusterCount()) === 1;
    if (isOurs) await killPrivateDocker();
    await kindDown(DEFAULT_KIND_NAME);
    assert.deepEqual(
      (await kindStatus()).filter(({ name }) => name === cluster.name),
      [],
    );
    if (isOurs) assert.deepEqual(await privateDockerTraces(), []);
  });

  async function clusterCount(): Promise<number> {
    const it = await runningDocker();
    return it ? (await nodeContainers(it)).length : 0;
  }

  async function removeNamespace(): Promise<void> {
    const exists = async () =>
      (await core.listNamespace()).items.some((namespace) => namespace.metadata?.name === NAMESPACE);
    if (!(await exists())) return;
    await core.deleteNamespace({ name: NAMESPACE });
    await until('the namespace to go', async () => !(await exists()));
  }

  async function eventsProcessed(): Promise<number> {
    const service = { name: 'worker', namespace: NAMESPACE, path: 'metrics' };
    const metrics = await core.connectGetNamespacedServiceProxyWithPath(service);
    return Number(/^worker_events_processed_total (\d+)$/m.exec(metrics)?.[1]);
  }

  async function createPod(it: V1Container): Promise<void> {
    const spec = { containers: [it], restartPolicy: 'Never', automountServiceAccountToken: false };
    await core.createNamespacedPod({ namespace: NAMESPACE, body: { metadata: { name: it.name }, spec } });
  }

  async function podEnds(name: string): Promise<V1Pod> {
    return await until(`the pod ${name} to end`, async () => {
      const pod = await core.readNamespacedPod({ name, namespace: NAMESPACE });
      return ['Succeeded', 'Failed'].includes(pod.status?.phase ?? '') && pod;
    });
  }

  async function outputOf(name: string): Promise<string> {
    const pod = await podEnds(name);
    const output = await core.readNamespacedPodLog({ name, namespace: NAMESPACE });
    assert.equal(pod.status?.phase, 'Succeeded', output);
    return output;
  }
});

/** A container as Pod Security `restricted` wants it, and with a read-only root besides. */
function container(name: string, image: string, args: string[], env: Record<string, string> = {}): V1Container {
  return {
    name,
    image,
    args,
    env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 65532,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
  };
}

/** Asks until the answer is neither false, nothing nor an error, and returns it. */
async function until<T>(what: string, ask: () => Promise<T | false | undefined>): Promise<T> {
  const deadline = performance.now() + TIMEOUT_MS;
  let last: unknown = 'no answer';
  while (performance.now() < deadline) {
    try {
      const answer = await ask();
      if (answer) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    await sleep(POLL_MS);
  }
  throw new Error(`Waited ${TIMEOUT_MS / 1000} s for ${what}.`, { cause: last });
}
