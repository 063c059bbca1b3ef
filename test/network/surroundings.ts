import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Transport } from '../../src/cluster/transport.ts';
import type { KindCluster } from '../cluster/index.ts';
import { docker, nodeContainers, runningDocker } from '../cluster/kind/docker.ts';
import type { Command } from '../support/end-to-end.ts';
import { PORT } from './jobs.ts';

/** What workers try to reach besides each other. An address is HOST:PORT. */

const METADATA = '169.254.169.254';

export interface Listener {
  readonly port: number;
  stop(): Promise<void>;
}

/** A server on every address of this machine that takes connections and ends them. */
export async function listenHere(): Promise<Listener> {
  const server = createServer((socket) => socket.end());
  server.listen(0, '0.0.0.0');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address && typeof address === 'object');
  const stop = () => new Promise<void>((resolve) => void server.close(() => resolve()));
  return { port: address.port, stop };
}

/**
 * Makes the node answer at the metadata address, as in a cloud; here it is the kubelet, which listens on every address.
 * @returns the address
 */
export async function giveMetadataAddress(cluster: KindCluster): Promise<string> {
  const it = await runningDocker();
  assert.ok(it, 'Docker runs');
  for (const node of await nodeContainers(it, cluster.context.replace(/^kind-/, ''))) {
    await docker(it, ['exec', node, 'ip', 'address', 'replace', `${METADATA}/32`, 'dev', 'lo']);
  }
  return `${METADATA}:10250`;
}

/** The API server, by its Service and where it listens, and a kubelet. */
export async function controlPlane(kubectl: Command): Promise<Record<string, string>> {
  const addresses = '{.items[0].status.addresses[?(@.type=="InternalIP")].address}';
  const node = await kubectl('get', 'nodes', '-o', `jsonpath=${addresses}`);
  return {
    'API server’s Service': `${await clusterIp(kubectl, 'default', 'kubernetes')}:443`,
    'API server’s node': `${node}:6443`,
    kubelet: `${node}:10250`,
  };
}

/** A Service that leads to a pod wherever it is, as anybody may make who knows its address. @returns its own address */
export async function serviceTo(api: Transport, kubectl: Command, namespace: string, name: string, podIp: string) {
  const ports = [{ name: 'http', port: PORT, protocol: 'TCP' }];
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { ports } };
  await api.call('POST', `/api/v1/namespaces/${namespace}/services`, { body: service });
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-by-hand`, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports,
    endpoints: [{ addresses: [podIp], conditions: { ready: true } }],
  };
  await api.call('POST', `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`, { body: slice });
  return `${await clusterIp(kubectl, namespace, name)}:${PORT}`;
}

const clusterIp = (kubectl: Command, namespace: string, name: string): Promise<string> =>
  kubectl('-n', namespace, 'get', 'service', name, '-o', 'jsonpath={.spec.clusterIP}');
