import { imageArchive } from '../images/store.ts';
import { run, step } from '../progress.ts';
import { type Docker, docker, nodeContainers } from './docker.ts';
import { kindBinary } from './kind-binary.ts';
import type { KindLayout } from './naming.ts';

/** Copies images into every node that does not have them. */
export async function loadImages(it: Docker, at: KindLayout, refs: readonly string[]): Promise<void> {
  const nodes = await nodeContainers(it, at.kindName);
  for (const ref of refs) {
    if (await isOnEveryNode(it, nodes, ref)) continue;
    await step(`Loading ${ref} into the kind cluster "${at.name}"`, () => loadOne(it, at, ref));
  }
}

async function isOnEveryNode(it: Docker, nodes: readonly string[], ref: string): Promise<boolean> {
  for (const node of nodes) {
    const list = await docker(it, ['exec', node, 'ctr', '--namespace=k8s.io', 'images', 'list', '--quiet']);
    if (!list.split('\n').includes(ref)) return false;
  }
  return true;
}

async function loadOne(it: Docker, at: KindLayout, ref: string): Promise<void> {
  const archive = imageArchive(ref);
  const what = archive ? ['image-archive', archive] : ['docker-image', ref];
  const env = { ...it.env, KIND_EXPERIMENTAL_PROVIDER: 'docker' };
  await run(await kindBinary(), ['load', ...what, '--name', at.kindName], { env });
}
