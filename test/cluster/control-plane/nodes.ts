import { setTimeout as sleep } from 'node:timers/promises';
import { CoordinationV1Api, CoreV1Api, KubeConfig, type V1Node } from '@kubernetes/client-node';
import { FAKE_NODE } from './components.ts';
import { contextOf, type Layout } from './layout.ts';

const AT_ONCE = 20;
const NODE_CAPACITY = { cpu: '1k', memory: '1Ti', pods: '1M', 'ephemeral-storage': '100Ti' };
const POLL_MS = 100;
const READY_TIMEOUT_MS = 60_000;

/**
 * Makes the fake nodes be exactly `fake-0` … `fake-<count-1>` and waits until kwok keeps them Ready and pods can be
 * made: the default service account is there. Each offers 1,000 CPUs, 1 TiB of memory, 100 TiB of disk and room for
 * a million pods.
 */
export async function ensureNodes(layout: Layout, count: number): Promise<void> {
  const api = kubeconfigOf(layout).makeApiClient(CoreV1Api);
  const wanted = Array.from({ length: count }, (_, i) => `fake-${i}`);
  const present = (await fakeNodes(api)).map((node) => node.metadata?.name ?? '');
  const missing = wanted.filter((name) => !present.includes(name));
  const surplus = present.filter((name) => !wanted.includes(name));
  await inBatches(missing, (name) => api.createNode({ body: fakeNode(name) }));
  await inBatches(surplus, (name) => api.deleteNode({ name }));

  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const ready = (await fakeNodes(api)).filter(isReady).length;
    if (ready === count && (await hasDefaultServiceAccount(api))) return;
    if (performance.now() > deadline) {
      throw new Error(
        `${contextOf(layout.name)}: ${ready} of ${count} nodes are ready after ${READY_TIMEOUT_MS / 1000} s. ` +
          `See ${layout.logFile('kwok')} and ${layout.logFile('kube-controller-manager')}.`,
      );
    }
    await sleep(POLL_MS);
  }
}

/**
 * Deletes the nodes' leases. A kwok that was killed holds them for 40 s more, and its successor, who is another to
 * them, would not touch a node or its pods until then.
 */
export async function releaseNodes(layout: Layout): Promise<void> {
  const api = kubeconfigOf(layout).makeApiClient(CoordinationV1Api);
  await api.deleteCollectionNamespacedLease({ namespace: 'kube-node-lease' });
}

function kubeconfigOf(layout: Layout): KubeConfig {
  const kubeconfig = new KubeConfig();
  kubeconfig.loadFromFile(layout.kubeconfig);
  return kubeconfig;
}

async function fakeNodes(api: CoreV1Api): Promise<V1Node[]> {
  const { items } = await api.listNode();
  return items.filter((node) => node.metadata?.annotations?.[FAKE_NODE.key] === FAKE_NODE.value);
}

function fakeNode(name: string): V1Node {
  return {
    metadata: {
      name,
      annotations: { [FAKE_NODE.key]: FAKE_NODE.value },
      labels: {
        'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': 'amd64',
        'topology.kubernetes.io/zone': 'fake',
      },
    },
    // kwok's own defaults and, beyond them, disk: workers ask for some.
    status: { capacity: NODE_CAPACITY, allocatable: NODE_CAPACITY },
  };
}

function isReady(node: V1Node): boolean {
  return node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
}

async function hasDefaultServiceAccount(api: CoreV1Api): Promise<boolean> {
  const { items } = await api.listNamespacedServiceAccount({ namespace: 'default' });
  return items.some((account) => account.metadata?.name === 'default');
}

async function inBatches(names: string[], act: (name: string) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < names.length; i += AT_ONCE) await Promise.all(names.slice(i, i + AT_ONCE).map(act));
}
