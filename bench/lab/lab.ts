import { join } from 'node:path';
import { type ControlPlaneCluster, down, up } from '../../test/cluster/index.ts';
import { CONTESTANTS, type Contestant, installAccounts, installStreamJobs, writeKubeconfig } from './accounts.ts';
import { onInterrupt } from './interrupt.ts';

export interface LabOptions {
  /** Whether Kubernetes' own controllers, its scheduler and kwok run. Without them nothing but the contestants writes. */
  readonly controllers: boolean;
  /** Fake nodes, by default 3. */
  readonly nodes?: number;
  /** Whether the kind StreamJob is there, as where the operator is installed; without it the operator looks for it. */
  readonly streamJobs?: boolean;
}

/** A real API server and etcd, which waits for the disk, with the admission policies and an account for each contestant. */
export interface Lab {
  readonly name: string;
  /** That of now: {@link wipe} makes another. */
  readonly cluster: ControlPlaneCluster;
  /** Path of a kubeconfig with a token of the contestant's ServiceAccount. The path outlives {@link wipe}. */
  kubeconfigOf(contestant: Contestant): string;
  /** The same again on an empty etcd, with processes and keys of its own. Whoever is connected must be gone before. */
  wipe(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const CONTROLLERS = ['kwok', 'kube-scheduler', 'kube-controller-manager'] as const;

/** @param name of the cluster: no two benchmarks that run at once may share it */
export async function freshLab(name: string, options: LabOptions): Promise<Lab> {
  // By its name, since it may not be complete yet.
  const forget = onInterrupt(() => down('control-plane', name));
  let cluster = await make(name, options);
  return {
    name,
    get cluster() {
      return cluster;
    },
    kubeconfigOf: (contestant) => join(cluster.dir, `${contestant}.kubeconfig`),
    wipe: async () => {
      cluster = await make(name, options);
    },
    [Symbol.asyncDispose]: async () => {
      forget();
      await cluster.down();
    },
  };
}

async function make(
  name: string,
  { controllers, nodes = 3, streamJobs = false }: LabOptions,
): Promise<ControlPlaneCluster> {
  const cluster = await up('control-plane', { name, nodes, fsync: true, fresh: true });
  if (!controllers) for (const component of CONTROLLERS) await cluster.stopComponent(component, 'SIGKILL');
  await installAccounts(cluster);
  if (streamJobs) await installStreamJobs(cluster);
  for (const contestant of CONTESTANTS) await writeKubeconfig(cluster, contestant);
  return cluster;
}
