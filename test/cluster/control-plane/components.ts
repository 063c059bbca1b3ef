import { join } from 'node:path';
import { stringify } from 'yaml';
import { ADVERTISED_ADDRESS, apiServerUrl, SERVICE_SUBNET } from './credentials.ts';
import type { Component, Layout } from './layout.ts';
import type { Settings } from './settings.ts';

/** The annotation by which kwok knows the nodes it plays. */
export const FAKE_NODE = { key: 'kwok.x-k8s.io/node', value: 'fake' };

/**
 * Unix sockets, which need no port and let nobody else in. They are files named like this in the cluster's folder, where
 * every component runs, because a path to them could exceed the 107 bytes a socket's path may have.
 */
const ETCD = 'unix://etcd:1';
const ETCD_PEER = 'unix://etcd-peer:1';

/** Test clusters are asked for hundreds of objects at once; with the defaults (20/s) only the client's limit is seen. */
const CLIENT_RATE = ['--kube-api-qps=500', '--kube-api-burst=1000'];

/** The command line of a component, without the binary: what runs is compared with it to decide whether to restart. */
export function argsOf(component: Component, layout: Layout, settings: Settings): string[] {
  return [component, ...flagsOf(component, layout, settings)];
}

function flagsOf(component: Component, layout: Layout, settings: Settings): string[] {
  switch (component) {
    case 'etcd':
      return etcd(layout, settings);
    case 'kube-apiserver':
      return apiServer(layout, settings);
    case 'kube-controller-manager':
      return controllerManager(layout, settings);
    case 'kube-scheduler':
      return scheduler(layout, settings);
    case 'kwok':
      return kwok(layout, settings);
  }
}

function etcd(layout: Layout, { fsync }: Settings): string[] {
  return [
    '--name=etcd',
    `--data-dir=${layout.etcdData}`,
    `--listen-client-urls=${ETCD}`,
    `--advertise-client-urls=${ETCD}`,
    `--listen-peer-urls=${ETCD_PEER}`,
    `--initial-advertise-peer-urls=${ETCD_PEER}`,
    `--initial-cluster=etcd=${ETCD_PEER}`,
    '--quota-backend-bytes=8589934592',
    '--log-level=warn',
    ...(fsync ? [] : ['--unsafe-no-fsync']),
  ];
}

function apiServer(layout: Layout, { port }: Settings): string[] {
  const pki = (file: string) => join(layout.pki, file);
  return [
    `--etcd-servers=${ETCD}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--advertise-address=${ADVERTISED_ADDRESS}`,
    '--endpoint-reconciler-type=none',
    `--service-cluster-ip-range=${SERVICE_SUBNET}`,
    `--tls-cert-file=${pki('apiserver.crt')}`,
    `--tls-private-key-file=${pki('apiserver.key')}`,
    `--client-ca-file=${pki('ca.crt')}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-key-file=${pki('sa.pub')}`,
    `--service-account-signing-key-file=${pki('sa.key')}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    `--audit-policy-file=${layout.auditPolicy}`,
    `--audit-log-path=${layout.auditLog}`,
    // One file whatever is measured: a rotation would hide requests from whoever reads the log.
    '--audit-log-maxsize=10000',
  ];
}

function controllerManager(layout: Layout, settings: Settings): string[] {
  const pki = (file: string) => join(layout.pki, file);
  return [
    `--kubeconfig=${join(layout.clients, 'controller-manager.conf')}`,
    `--master=${apiServerUrl(settings)}`,
    '--secure-port=0',
    '--leader-elect=false',
    '--use-service-account-credentials',
    `--root-ca-file=${pki('ca.crt')}`,
    `--service-account-private-key-file=${pki('sa.key')}`,
    `--cluster-signing-cert-file=${pki('ca.crt')}`,
    `--cluster-signing-key-file=${pki('ca.key')}`,
    ...CLIENT_RATE,
  ];
}

function scheduler(layout: Layout, settings: Settings): string[] {
  return [
    `--kubeconfig=${join(layout.clients, 'scheduler.conf')}`,
    `--master=${apiServerUrl(settings)}`,
    '--secure-port=0',
    '--leader-elect=false',
    ...CLIENT_RATE,
  ];
}

function kwok(layout: Layout, settings: Settings): string[] {
  return [
    `--kubeconfig=${join(layout.clients, 'super-admin.conf')}`,
    `--master=${apiServerUrl(settings)}`,
    `--config=${layout.stages}`,
    '--manage-all-nodes=false',
    `--manage-nodes-with-annotation-selector=${FAKE_NODE.key}=${FAKE_NODE.value}`,
    '--node-lease-duration-seconds=40',
    '--cidr=10.128.0.1/9',
    // At INFO it logs every pod it touches.
    '--v=WARN',
  ];
}

/**
 * Everything anyone asks of the API server, without bodies, once, when it is answered (a watch: when it begins). Left
 * out is the hum of Kubernetes itself: what its own parts read, heartbeats and health checks.
 */
export function auditPolicy(): string {
  const parts = ['system:apiserver', 'system:kube-controller-manager', 'system:kube-scheduler', 'system:anonymous'];
  return stringify({
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived'],
    omitManagedFields: true,
    rules: [
      { level: 'None', users: parts, verbs: ['get', 'list', 'watch'] },
      { level: 'None', userGroups: ['system:serviceaccounts:kube-system'], verbs: ['get', 'list', 'watch'] },
      { level: 'None', namespaces: ['kube-node-lease'] },
      { level: 'None', users: parts, resources: [{ group: 'coordination.k8s.io', resources: ['leases'] }] },
      { level: 'Metadata' },
    ],
  });
}
