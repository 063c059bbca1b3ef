import type { KindCluster } from '../index.ts';
import { docker, nodeContainers, withRunningDocker } from '../kind/docker.ts';
import { kindName } from '../kind/naming.ts';

/**
 * Makes `release`, the name that manifests use, mean the image `ref`, which is loaded already, on every node. A name
 * that is on a node is not loaded again, so a newer build would not come in under it.
 */
export async function nameInCluster(cluster: KindCluster, ref: string, release: string): Promise<void> {
  await withRunningDocker(async (it) => {
    if (!it) throw new Error(`No Docker daemon runs any more, though the kind cluster "${cluster.name}" is on one.`);
    for (const node of await nodeContainers(it, kindName(cluster.name))) {
      await docker(it, ['exec', node, 'ctr', '--namespace=k8s.io', 'images', 'tag', '--force', ref, release]);
    }
  });
}
