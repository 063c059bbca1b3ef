import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached, hashOf } from '../cache.ts';
import { type ImageConfig, imageArchitecture, writeImage, writeImages } from '../images/archive.ts';
import { KUBERNETES_VERSION, localkube } from '../localkube.ts';
import { logTail } from '../processes.ts';
import { CommandError, run, step } from '../progress.ts';
import { kindModuleDir, TOOLS, tools } from './kind-binary.ts';
import { lookAtMachine } from './machine.ts';
import { baseRootFs } from './node-base.ts';
import { SYSTEM_PATH } from './packages.ts';

const NODE_FILES = fileURLToPath(new URL('./node', import.meta.url));
const LOCALKUBE_SOURCE = fileURLToPath(new URL('../localkube', import.meta.url));
const PATH_ENV = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Of Debian's CNI plugins, those that kind's own image has. */
const CNI_PLUGINS = new Set(['host-local', 'loopback', 'ptp', 'portmap']);

/** Names the image that {@link buildNodeImage} makes of the sources as they are now. Quick: builds nothing. */
export async function offlineNodeImageHash(): Promise<string> {
  const own = ['./node-image-build.ts', './node-base.ts'].map((file) => fileURLToPath(new URL(file, import.meta.url)));
  const { debianRelease } = await lookAtMachine();
  const sources = [NODE_FILES, TOOLS, LOCALKUBE_SOURCE, ...own].map((path) => ({ path }));
  return await hashOf(...sources, KUBERNETES_VERSION, debianRelease ?? '', process.arch);
}

/**
 * kind's node image from Go modules and Debian packages, for machines that reach no container registry. Returns the
 * docker-archive, compressed with zstd; the image in it is called `ref`.
 */
export async function buildNodeImage(hash: string, ref: string): Promise<string> {
  const dir = await cached('kind-node-image', hash, (tmpDir) =>
    step('Building the node image without a registry', () => build(tmpDir, ref), {
      typical: '3 min, the build of Kubernetes not counted',
    }),
  );
  return join(dir, NODE_ARCHIVE);
}

/** The file's name inside the cache entry of kind `kind-node-image`. */
export const NODE_ARCHIVE = 'image.tar.zst';

async function build(dir: string, ref: string): Promise<void> {
  const binary = await localkube();
  const base = await baseRootFs();
  const work = join(dir, 'work');
  const root = join(work, 'root');
  await mkdir(join(root, 'build'), { recursive: true });
  await step('Unpacking the base', () => run('tar', ['-C', root, '-xf', base, '--exclude=./dev/*']), {
    typical: '3 s',
  });
  await copyInputs(root, binary);

  const pods = await step('Pod images of the control plane', () => writePodImages(root), { typical: '15 s' });
  await step('Node services, pod images unpacked', () => inRoot(root, 'finish', KUBERNETES_VERSION, pods.pause), {
    typical: '30 s',
  });
  await rm(join(root, 'build'), { recursive: true });
  await step('Packing the node image', () => packNode(root, work, ref, join(dir, NODE_ARCHIVE)), { typical: '15 s' });
  await rm(work, { recursive: true });
}

async function copyInputs(root: string, localkubeBinary: string): Promise<void> {
  const build = join(root, 'build');
  await cp(localkubeBinary, join(root, 'usr/bin/localkube'));
  await cp(join(await tools(), 'pause'), join(build, 'pause'));
  for (const name of ['setup.sh', 'kindnet.sh', 'default-cni.yaml', 'default-storage.yaml']) {
    await cp(join(NODE_FILES, name), join(build, name));
  }
  await run('cp', ['-r', join(await kindModuleDir(), 'images/base/files'), join(build, 'kind')]);
  for (const name of (await run('ls', [join(root, 'usr/lib/cni')])).split('\n')) {
    if (!CNI_PLUGINS.has(name)) await rm(join(root, 'usr/lib/cni', name));
  }
}

/** Writes /build/pods.tar: every image that kubeadm and the CNI manifest name. Returns the name of the pause image. */
async function writePodImages(root: string): Promise<{ pause: string }> {
  const list = ['config', 'images', 'list', `--kubernetes-version=${KUBERNETES_VERSION}`];
  const refs = (await run(join(root, 'usr/bin/localkube'), ['kubeadm', ...list])).split('\n');
  const pause = refs.find((ref) => /\/pause:/.test(ref));
  if (!pause) throw new Error(`kubeadm names no pause image: ${refs.join(', ')}`);

  await inRoot(root, 'layer');
  const images = refs.map((ref) => ({ tags: [ref], config: podImageConfig(ref) }));
  images.push({ tags: ['docker.io/kindest/kindnetd:local'], config: { Env: [PATH_ENV], Entrypoint: ['/kindnetd'] } });
  const build = join(root, 'build');
  await writeImages({ layers: [join(build, 'layer.tar')], images, out: join(build, 'pods.tar') });
  return { pause };
}

/** kubeadm's manifests name the program to run, except for these two. */
function podImageConfig(ref: string): ImageConfig {
  if (ref.includes('/pause:')) return { Env: [PATH_ENV], Entrypoint: ['/pause'] };
  if (ref.includes('/coredns:')) return { Env: [PATH_ENV], Entrypoint: ['/usr/local/bin/coredns'] };
  return { Env: [PATH_ENV] };
}

/**
 * Runs a part of node/setup.sh inside the root file system, in mount and process namespaces of its own: what it mounts
 * and starts goes with it, whatever is killed.
 */
async function inRoot(root: string, ...args: string[]): Promise<void> {
  const enter =
    'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" /bin/bash /build/setup.sh "$@"';
  const isolate = ['--pdeathsig', 'KILL', 'unshare', '--mount', '--propagation', 'private', '--pid', '--fork'];
  const env = { PATH: SYSTEM_PATH, LC_ALL: 'C' };
  try {
    await run('setpriv', [...isolate, '--kill-child', 'sh', '-c', enter, root, ...args], { env });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const log = await logTail(join(root, 'build/containerd.log'));
    throw new Error(`The node image cannot be built. ${error.message}\n${log}`, { cause: error });
  }
}

async function packNode(root: string, work: string, ref: string, out: string): Promise<void> {
  const layer = join(work, 'node.tar');
  await run('tar', ['-C', root, '--numeric-owner', '--xattrs', '--sort=name', '--exclude=./dev/*', '-cf', layer, '.']);
  const config = {
    Env: [PATH_ENV, 'container=docker'],
    StopSignal: 'SIGRTMIN+3',
    Entrypoint: ['/usr/local/bin/entrypoint', '/sbin/init'],
    Labels: { 'dev.bulkhead.kubernetes': KUBERNETES_VERSION, 'dev.bulkhead.architecture': imageArchitecture() },
  };
  await writeImage({ layers: [layer], config, tags: [ref], out });
}
