import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hashOf } from '../cache.ts';
import { note, step } from '../progress.ts';
import type { ClusterStatus, LocalCluster } from '../types.ts';
import { create, findProblem, hostAddress, readRecord, remove, writeKubeconfig } from './cluster.ts';
import { AUDIT_LOG_FILE, kindConfig } from './config.ts';
import {
  type Docker,
  docker,
  nodeContainers,
  runningDocker,
  stopDockerIfUnused,
  withDocker,
  withRunningDocker,
} from './docker.ts';
import { loadImages } from './load-images.ts';
import { lookAtMachine } from './machine.ts';
import { CLUSTERS_DIR, DEFAULT_KIND_NAME, isKindName, type KindLayout, kindLayout } from './naming.ts';
import { isOfflineNodeImage, nodeImage } from './node-image.ts';
import { installPolicyEngine } from './policy-engine.ts';
import { privateDockerIsInUse } from './private-docker.ts';

export { DEFAULT_KIND_NAME, kindName } from './naming.ts';

export interface KindOptions {
  /** Which cluster of this checkout; default {@link DEFAULT_KIND_NAME}. */
  readonly name?: string;
  /** How many nodes, the control plane counted; default 1. */
  readonly nodes?: number;
  /**
   * NetworkPolicies are enforced; default false. kind's usual image always does; in one of the offline node image it
   * installs Calico, whose first build takes minutes. A cluster that has it keeps it.
   */
  readonly networkPolicy?: boolean;
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

/**
 * Makes a kind cluster, or takes the one of that name if it is healthy and of these options; a broken, half-made or
 * otherwise different one is made anew. Where there is no Docker, on Debian as root, it installs and starts one; where
 * no registry answers, it builds the node image. Progress goes to stderr.
 */
export async function kindUp({
  name = DEFAULT_KIND_NAME,
  nodes = 1,
  networkPolicy = false,
}: KindOptions = {}): Promise<KindCluster> {
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
      await create(it, at, config, record);
    }
    if (networkPolicy && isOfflineNodeImage(image)) await installPolicyEngine(it, at);
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

/** Every kind cluster of this checkout, half-made ones counted. */
export async function kindStatus(): Promise<ClusterStatus[]> {
  const names = existsSync(CLUSTERS_DIR) ? (await readdir(CLUSTERS_DIR)).sort() : [];
  const layouts = names.filter(isKindName).map(kindLayout);
  const made = layouts.filter(({ config }) => existsSync(config));
  if (made.length > 0) {
    const it = await runningDocker();
    return await Promise.all(made.map((at) => statusOf(it, at)));
  }
  if (!(await privateDockerIsInUse())) return [];
  const detail = 'a private Docker daemon is left; `down kind` ends it unless another checkout needs it';
  return [{ ...about(kindLayout(DEFAULT_KIND_NAME)), state: 'stopped', detail }];
}

async function statusOf(it: Docker | undefined, at: KindLayout): Promise<ClusterStatus> {
  if (!it || (await nodeContainers(it, at.kindName)).length === 0) return { ...about(at), state: 'stopped' };
  const record = await readRecord(at);
  const problem = record ? await findProblem(it, at, record) : 'it was not finished';
  return problem ? { ...about(at), state: 'degraded', detail: problem } : { ...about(at), state: 'running' };
}

function about(at: KindLayout) {
  return { kind: 'kind', name: at.name, kubeconfigPath: at.kubeconfig, context: at.context } as const;
}

async function clusterOf(it: Docker, at: KindLayout): Promise<KindCluster> {
  return {
    ...about(at),
    auditLogPath: join(at.auditDir, AUDIT_LOG_FILE),
    hostAddress: await hostAddress(it, at),
    loadImages: (refs) => loadImages(it, at, refs),
    down: () => kindDown(at.name),
  };
}
