import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached, hashOf } from '../cache.ts';
import { goBuild } from '../images/go-build.ts';
import { CommandError, run, step } from '../progress.ts';
import { type Docker, docker, nodeContainers } from './docker.ts';
import { lookAtMachine } from './machine.ts';
import type { KindLayout } from './naming.ts';

/**
 * Calico as the engine that enforces NetworkPolicies in a cluster of the offline node image, whose own pod network
 * knows none. It is Calico's policy-only set-up: its CNI plugin names and wires the pods' interfaces, and Felix, a
 * service on every node, filters them. Routes between nodes stay with kindnet.sh.
 */

const SOURCE = fileURLToPath(new URL('./calico', import.meta.url));
const MODULE = 'github.com/projectcalico/calico';
/** Debian's, which Felix runs; the node image has the other programs that it needs. */
const DEBIAN_PACKAGES = ['ipset', 'libipset13'];

const IN_NODE = '/kind/calico';
/** In the first node once all of it is there. */
const DONE = `${IN_NODE}/done`;
/** Where the files of ./calico go. */
const PLACES = {
  'policy.yaml': `${IN_NODE}/policy.yaml`,
  'calico-felix.service': '/etc/systemd/system/calico-felix.service',
  '05-calico.conflist': '/etc/cni/net.d/05-calico.conflist',
};

/** Installs the engine, unless the cluster has it: builds it the first time. Pods of before are replaced. */
export async function installPolicyEngine(it: Docker, at: KindLayout): Promise<void> {
  if (await isThere(it, at.controlPlane, DONE)) return;
  const root = await engineFiles();
  await step('Installing Calico, which enforces NetworkPolicies', () => install(it, at, root), { typical: '15–30 s' });
}

/** Each part may be done already: what was killed half-way is simply done again. */
async function install(it: Docker, at: KindLayout, root: string): Promise<void> {
  const kubectl = (...args: string[]) =>
    docker(it, ['exec', at.controlPlane, 'kubectl', '--kubeconfig=/etc/kubernetes/admin.conf', ...args]);
  const nodes = await nodeContainers(it, at.kindName);
  for (const node of nodes) {
    await docker(it, ['cp', `${root}/.`, `${node}:/`]);
    for (const [name, place] of Object.entries(PLACES)) {
      await docker(it, ['cp', join(SOURCE, name), `${node}:${place}`]);
    }
  }
  await kubectl('apply', '-f', `${IN_NODE}/crds.yaml`);
  await kubectl('wait', '--for=condition=Established', '--timeout=30s', '-f', `${IN_NODE}/crds.yaml`);
  await kubectl('apply', '-f', `${IN_NODE}/policy.yaml`);
  for (const node of nodes) await startFelix(it, node);
  // What has an interface of the former kind passes by the engine.
  await kubectl('delete', 'pods', '--all-namespaces', '--field-selector=spec.hostNetwork=false', '--timeout=60s');
  await kubectl('-n', 'kube-system', 'rollout', 'status', 'deployment/coredns', '--timeout=120s');
  await docker(it, ['exec', at.controlPlane, 'touch', DONE]);
}

async function startFelix(it: Docker, node: string): Promise<void> {
  await docker(it, ['exec', node, 'systemctl', 'daemon-reload']);
  await docker(it, ['exec', node, 'systemctl', 'enable', '--now', 'calico-felix']);
  const ask = 'busybox wget -q -O- http://127.0.0.1:9099/readiness';
  const wait = `for i in $(seq 60); do ${ask} && exit; sleep 0.5; done`;
  await docker(it, ['exec', node, 'sh', '-c', `${wait}; journalctl -u calico-felix -n 20 >&2; exit 1`]);
}

/** A folder of what was built or downloaded for every node, as it lies there. */
async function engineFiles(): Promise<string> {
  const { debianRelease } = await lookAtMachine();
  const sources = ['go.mod', 'go.sum'].map((name) => ({ path: join(SOURCE, name) }));
  const hash = await hashOf(...sources, ...DEBIAN_PACKAGES, debianRelease ?? '', process.arch);
  const dir = await cached('kind-calico', hash, (tmpDir) =>
    step('Building Calico from its Go module', () => build(tmpDir), { typical: '4–6 min the first time, on 2 cores' }),
  );
  return join(dir, 'root');
}

async function build(dir: string): Promise<void> {
  const root = join(dir, 'root');
  await mkdir(join(root, IN_NODE), { recursive: true });
  await goBuild(SOURCE, `${MODULE}/felix/cmd/calico-felix`, join(root, 'usr/local/bin/calico-felix'));
  await goBuild(SOURCE, `${MODULE}/cni-plugin/cmd/calico`, join(root, 'usr/lib/cni/calico'));
  await writeFile(join(root, IN_NODE, 'crds.yaml'), await customResources());
  const packages = join(dir, 'packages');
  await mkdir(packages);
  await run('apt-get', ['download', ...DEBIAN_PACKAGES], { cwd: packages });
  for (const name of await readdir(packages)) await run('dpkg-deb', ['--extract', join(packages, name), root]);
}

/** The definitions of the module, which are not copied into this repository. */
async function customResources(): Promise<string> {
  const module = await run('go', ['list', '-m', '-f', '{{.Dir}}', MODULE], { cwd: SOURCE });
  const dir = join(module, 'libcalico-go/config/crd');
  const names = (await readdir(dir)).filter((name) => name.endsWith('.yaml')).sort();
  const files = await Promise.all(names.map((name) => readFile(join(dir, name), 'utf8')));
  return files.join('\n---\n');
}

async function isThere(it: Docker, node: string, path: string): Promise<boolean> {
  try {
    await docker(it, ['exec', node, 'test', '-e', path]);
    return true;
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}
