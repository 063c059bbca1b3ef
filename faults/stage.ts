import { readTarget } from '../src/cluster/target.ts';
import { Transport } from '../src/cluster/transport.ts';
import { type ControlPlaneCluster, up } from '../test/cluster/index.ts';
import { step } from '../test/cluster/progress.ts';
import { Fleet } from './fleet.ts';
import type { Size } from './scenario.ts';

const CLUSTER_NAME = 'faults';

/** What scenarios share, since it takes long to make. Each thing is made when it is first asked for. */
export class Stage {
  readonly #size: Size;
  #cluster: Promise<ControlPlaneCluster> | null = null;
  #api: Promise<Transport> | null = null;
  #fleet: Promise<Fleet> | null = null;

  constructor(size: Size) {
    this.#size = size;
  }

  /** A real API server with played pods. Stores on it never meet, so every scenario takes a store of its own. */
  cluster(): Promise<ControlPlaneCluster> {
    this.#cluster ??= up('control-plane', { name: CLUSTER_NAME, fsync: false, fresh: true });
    return this.#cluster;
  }

  /** Calls to the API server as its administrator, who is not exempt from the fence. */
  async api(): Promise<Transport> {
    const { kubeconfigPath, context } = await this.cluster();
    this.#api ??= readTarget({ kubeconfig: kubeconfigPath, context }).then((target) => new Transport(target));
    return this.#api;
  }

  /** Three replicas and many jobs, all running. Whoever takes a replica away puts another in its place. */
  async fleet(): Promise<Fleet> {
    this.#fleet ??= Fleet.start(await this.cluster(), this.#size);
    return this.#fleet;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const made = await Promise.allSettled([this.#fleet, this.#api, this.#cluster]);
    const [fleet, api, cluster] = made.map((it) => (it.status === 'fulfilled' ? it.value : null)) as [
      Fleet | null,
      Transport | null,
      ControlPlaneCluster | null,
    ];
    await fleet?.[Symbol.asyncDispose]();
    await api?.close();
    if (cluster) await step('Removing what the scenarios made', () => cluster.down());
  }
}
