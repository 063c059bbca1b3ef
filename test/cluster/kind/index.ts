import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { hashOf } from '../cache.ts';
import { CommandError, note, run, step } from '../progress.ts';
import type { ClusterStatus, LocalCluster } from '../types.ts';
import { AUDIT_LOG_FILE, AUDIT_POLICY, kindConfig } from './config.ts';
import {
  type Docker,
  docker,
  nodeContainers,
  runningDocker,
  stopDockerIfUnused,
  withDocker,
  withRunningDocker,
} from './docker.ts';
import { kindBinary } from './kind-binary.ts';
import { loadImages } from './load-images.ts';
import { lookAtMachine } from './machine.ts';
import { CLUSTERS_DIR, DEFAULT_KIND_NAME, type KindLayout, kindLayout } from './naming.ts';
import { nodeImage } from './node-image.ts';

export { DEFAULT_KIND_NAME, kindName } from './naming.ts';

/** How long a running cluster may take to answer before it counts as broken: making a new one takes 25 s. */
const HEALTH_TIMEOUT_SECONDS = 15;
const READY_TIMEOUT_SECONDS = 180;

export interface KindOptions {
  /** Which cluster of this checkout; default {@link DEFAULT_KIND_NAME}. */
  readonly name?: string;
  /** How many nodes, the control plane counted; default 1. */
  readonly nodes?: number;
}

/** A cluster of `kind`: real nodes, in containers, with real pods. */
export interface KindCluster extends LocalCluster {
  readonly kind: 'kind';
  /** What pods connect to in order to reach a server on this machine that listens on all addresses. */
  readonly hostAddress: string;
  /**
   * Makes images usable in the cluster without a registry: those of `workerImage()` and the like, or any that the
   * Docker daemon has. An image that is there already costs a second.
   */
  loadImages(refs: readonly string[]): Promise<void>;
}

const recordSchema = z.object({ configHash: z.string(), nodes: z.number() });

/**
 * Makes a kind cluster, or takes the one of that name if it is healthy and of these options; a broken, half-made or
 * otherwise different one is made anew. Where there is no Docker, on Debian as root, it installs and starts one; where
 * no registry answers, it builds the node image. Progress goes to stderr.
 */
export async function kindUp({ name = DEFAULT_KIND_NAME, nodes = 1 }: KindOptions = {}): Promise<KindCluster> {
  const at = kindLayout(name);
  return await withDocker(async (it) => {
    const image = await nodeImage(it);
    const config = await kindConfig({
      name: at.kindName,
      image,
      nodes,
      auditDir: at.auditDir,
      isCgroupV1: (await docker(it, ['info', '--format', '{{.CgroupVersion}}'])) === '1',
      lacksSysResource: (await lookAtMachine()).lacksSysResource,
    });
    const record = { configHash: await hashOf(config), nodes };
    const problem = await findProblem(it, at, record);
    if (problem) {
      if (problem !== 'absent') note(`The kind cluster "${at.name}" is made anew: ${problem}.`);
      await remove(it, at);
      await create(it, at, config);
      await writeFile(at.record, JSON.stringify(record));
    }
    await writeKubeconfig(it, at);
    return await clusterOf(it, at);
  });
}

/**
 * Removes a cluster with all its data; does nothing if there is none of that name. After the last one of a private
 * Docker daemon, the daemon goes too, and the machine is as it was before.
 */
export async function kindDown(name: string = DEFAULT_KIND_NAME): Promise<void> {
  const at = kindLayout(name);
  await step(`Removing the kind cluster "${at.name}"`, () =>
    withRunningDocker(async (it) => {
      if (it) await remove(it, at);
      await rm(at.dir, { recursive: true, force: true });
      await stopDockerIfUnused(it);
    }),
  );
}

/** Every kind cluster of this checkout. */
export async function kindStatus(): Promise<ClusterStatus[]> {
  if (!existsSync(CLUSTERS_DIR)) return [];
  const made = (await readdir(CLUSTERS_DIR)).sort().filter((dir) => existsSync(join(CLUSTERS_DIR, dir, 'kind.json')));
  if (made.length === 0) return [];
  const it = await runningDocker();
  return await Promise.all(made.map((dir) => statusOf(it, kindLayout(dir))));
}

async function statusOf(it: Docker | undefined, at: KindLayout): Promise<ClusterStatus> {
  const about = { kind: 'kind', name: at.name, kubeconfigPath: at.kubeconfig, context: at.context } as const;
  if (!it || (await nodeContainers(it, at.kindName)).length === 0) return { ...about, state: 'stopped' };
  const problem = await findProblem(it, at, recordSchema.parse(JSON.parse(await readFile(at.record, 'utf8'))));
  return problem ? { ...about, state: 'degraded', detail: problem } : { ...about, state: 'running' };
}

/** Why the cluster cannot be used as it is, for a person; `absent` if there is none. */
async function findProblem(
  it: Docker,
  at: KindLayout,
  wanted: z.infer<typeof recordSchema>,
): Promise<string | undefined> {
  const all = await nodeContainers(it, at.kindName, { all: true });
  if (all.length === 0) return 'absent';
  if (!existsSync(at.record)) return 'it was not finished';
  const record = recordSchema.parse(JSON.parse(await readFile(at.record, 'utf8')));
  if (record.configHash !== wanted.configHash) return 'its configuration is another one now';
  const running = await nodeContainers(it, at.kindName);
  if (running.length < wanted.nodes) return `${wanted.nodes - running.length} of its nodes stopped`;
  try {
    const timeout = `--timeout=${HEALTH_TIMEOUT_SECONDS}s`;
    await kubectl(it, at, ['wait', 'nodes', '--all', '--for=condition=Ready', timeout]);
    return undefined;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return `it does not answer, or a node is not ready (${error.message.trim().split('\n').at(-1)})`;
  }
}

/** kubectl in the control plane's node: it works whatever the machine has and wherever the daemon runs. */
async function kubectl(it: Docker, at: KindLayout, args: readonly string[]): Promise<string> {
  const admin = '--kubeconfig=/etc/kubernetes/admin.conf';
  const options = { timeout: (HEALTH_TIMEOUT_SECONDS + 10) * 1000 };
  return await docker(it, ['exec', at.controlPlane, 'kubectl', admin, ...args], options);
}

async function create(it: Docker, at: KindLayout, config: string): Promise<void> {
  await rm(at.dir, { recursive: true, force: true });
  await mkdir(at.auditDir, { recursive: true });
  await writeFile(at.config, config);
  await writeFile(join(at.auditDir, 'policy.yaml'), AUDIT_POLICY);
  // The API server, which is root, keeps the file's owner and mode, so that whoever called this can read the log.
  await writeFile(join(at.auditDir, AUDIT_LOG_FILE), '');
  const wait = `${READY_TIMEOUT_SECONDS}s`;
  const args = ['create', 'cluster', '--config', at.config, '--kubeconfig', `${at.kubeconfig}.new`, '--wait', wait];
  await step(`Creating the kind cluster "${at.name}"`, () => kind(it, args), { typical: '30 s' });
  await rm(`${at.kubeconfig}.new`);
}

async function remove(it: Docker, at: KindLayout): Promise<void> {
  const unused = join(CLUSTERS_DIR, `.${at.kindName}.kubeconfig`);
  await mkdir(CLUSTERS_DIR, { recursive: true });
  if ((await nodeContainers(it, at.kindName, { all: true })).length > 0) {
    await kind(it, ['delete', 'cluster', '--name', at.kindName, '--kubeconfig', unused]);
  }
  await rm(unused, { force: true });
  // The address and certificates of the cluster that was: they must not be taken for those of the next one.
  await rm(at.kubeconfig, { force: true });
}

/** Renamed into place, since an operator that watches the file must not read half of it. */
async function writeKubeconfig(it: Docker, at: KindLayout): Promise<void> {
  const unfinished = `${at.kubeconfig}.new`;
  await writeFile(unfinished, await kind(it, ['get', 'kubeconfig', '--name', at.kindName]), { mode: 0o600 });
  await chmod(unfinished, 0o600);
  await rename(unfinished, at.kubeconfig);
}

async function kind(it: Docker, args: readonly string[]): Promise<string> {
  const env = { ...it.env, KIND_EXPERIMENTAL_PROVIDER: 'docker' };
  return await run(await kindBinary(), args, { env });
}

async function clusterOf(it: Docker, at: KindLayout): Promise<KindCluster> {
  return {
    kind: 'kind',
    name: at.name,
    kubeconfigPath: at.kubeconfig,
    context: at.context,
    auditLogPath: join(at.auditDir, AUDIT_LOG_FILE),
    hostAddress: await hostAddress(it, at),
    loadImages: (refs) => loadImages(it, at, refs),
    down: () => kindDown(at.name),
  };
}

/** With Docker Desktop the host has a name in every container; otherwise it is the gateway of the nodes' network. */
async function hostAddress(it: Docker, at: KindLayout): Promise<string> {
  const lookUp = 'getent ahostsv4 host.docker.internal || ip -4 route show default';
  const answer = await docker(it, ['exec', at.controlPlane, 'sh', '-c', lookUp]);
  const address = /\b\d+\.\d+\.\d+\.\d+\b/.exec(answer)?.[0];
  if (!address) throw new Error(`The nodes of the kind cluster "${at.name}" have no route to this machine: ${answer}`);
  return address;
}
