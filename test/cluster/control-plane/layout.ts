import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of all control-plane clusters of this checkout, one folder each. */
export const CLUSTERS_DIR = fileURLToPath(new URL('../../../.bulkhead/clusters', import.meta.url));

/** Every program of a control-plane cluster, in the order in which they start. */
export const COMPONENTS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kwok'] as const;
export type Component = (typeof COMPONENTS)[number];

/** Where everything of one cluster lies. */
export interface Layout {
  readonly name: string;
  readonly dir: string;
  readonly settings: string;
  /** The user's kubeconfig. */
  readonly kubeconfig: string;
  readonly auditPolicy: string;
  readonly auditLog: string;
  readonly stages: string;
  /** Keys and certificates, as kubeadm lays them out. */
  readonly pki: string;
  /** kubeadm's kubeconfigs, which hold the client certificates. */
  readonly clients: string;
  readonly etcdData: string;
  pidFile(component: Component): string;
  logFile(component: Component): string;
}

export function layoutOf(name: string): Layout {
  const dir = join(CLUSTERS_DIR, name);
  return {
    name,
    dir,
    settings: join(dir, 'control-plane.json'),
    kubeconfig: join(dir, 'kubeconfig'),
    auditPolicy: join(dir, 'audit-policy.yaml'),
    auditLog: join(dir, 'logs', 'audit.log'),
    stages: join(dir, 'kwok-stages.yaml'),
    pki: join(dir, 'pki'),
    clients: join(dir, 'clients'),
    etcdData: join(dir, 'etcd'),
    pidFile: (component) => join(dir, 'pids', `${component}.pid`),
    logFile: (component) => join(dir, 'logs', `${component}.log`),
  };
}

export function contextOf(name: string): string {
  return `bulkhead-${name}`;
}
