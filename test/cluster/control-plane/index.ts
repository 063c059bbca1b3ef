import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { localkube } from '../localkube.ts';
import { withLock } from '../lock.ts';
import { alive, stopDaemon } from '../processes.ts';
import { note, step } from '../progress.ts';
import type { ClusterStatus, LocalCluster } from '../types.ts';
import { auditPolicy } from './components.ts';
import { ensureCredentials, writeKubeconfig } from './credentials.ts';
import { CLUSTERS_DIR, COMPONENTS, type Component, contextOf, type Layout, layoutOf } from './layout.ts';
import { ensureNodes } from './nodes.ts';
import { loadSettings, type Settings, saveSettings, writeAtomically } from './settings.ts';
import { isReady, missingComponents, start, startMissing, usablePort, waitReady } from './supervise.ts';

export { COMPONENTS, type Component } from './layout.ts';

const DEFAULT_NODES = 3;

export interface ControlPlaneOptions {
  name: string;
  /** Fake nodes; each takes up to a million pods. Without it: as the cluster has, or 3 for a new one. */
  nodes?: number;
  /** `false`: etcd does not wait for the disk. Faster, and safe unless the machine itself dies. Default as above: true. */
  fsync?: boolean;
  /** Wipes what is there first. */
  fresh?: boolean;
}

/** A real API server, etcd, scheduler and controllers as plain processes; pods become Ready on nodes kwok plays. */
export interface ControlPlaneCluster extends LocalCluster {
  readonly kind: 'control-plane';
  /** The folder of its logs, keys and data. */
  readonly dir: string;
  /** The process id of a component, or undefined if it does not run. */
  pid(component: Component): Promise<number | undefined>;
  /** Ends one component, by default politely. Resolves when the process is gone; for fault tests. */
  stopComponent(component: Component, signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** (Re)starts one component as `up` would. For kube-apiserver, resolves when it is ready; etcd must run then. */
  startComponent(component: Component): Promise<void>;
}

/**
 * Makes the cluster, or whatever of it is missing: a healthy one is left alone, dead or outdated components are
 * started again on the same data. Resolves when the nodes are ready.
 */
export async function controlPlaneUp(options: ControlPlaneOptions): Promise<ControlPlaneCluster> {
  const layout = checkedLayout(options.name);
  const binary = await localkube();
  return await locked(layout, async () => {
    if (options.fresh) await destroy(layout);
    const before = await loadSettings(layout);
    const settings: Settings = {
      port: await usablePort(layout, before?.port),
      nodes: options.nodes ?? before?.nodes ?? DEFAULT_NODES,
      fsync: options.fsync ?? before?.fsync ?? true,
    };
    const ensure = () => ensureAll(layout, settings, binary);
    const complete = before && (await missingComponents(layout, settings, binary)).length === 0;
    await (complete ? ensure() : step(`Starting ${contextOf(layout.name)}`, ensure, { typical: '5–15 s' }));
    return clusterOf(layout, settings, binary);
  });
}

async function ensureAll(layout: Layout, settings: Settings, binary: string): Promise<void> {
  await mkdir(layout.dir, { recursive: true, mode: 0o700 });
  await saveSettings(layout, settings);
  await ensureCredentials(layout, binary);
  await writeKubeconfig(layout, settings);
  await writeAtomically(layout.auditPolicy, auditPolicy());
  await startMissing(layout, settings, binary);
  await ensureNodes(layout, settings.nodes);
}

function clusterOf(layout: Layout, settings: Settings, binary: string): ControlPlaneCluster {
  return {
    kind: 'control-plane',
    name: layout.name,
    dir: layout.dir,
    kubeconfigPath: layout.kubeconfig,
    context: contextOf(layout.name),
    auditLogPath: layout.auditLog,
    pid: (component) => alive(layout.pidFile(component)),
    stopComponent: (component, signal = 'SIGTERM') => stopDaemon(layout.pidFile(component), { signal }),
    startComponent: async (component) => {
      await start(layout, settings, binary, component);
      if (component === 'kube-apiserver') await waitReady(layout, settings);
    },
    down: () => controlPlaneDown(layout.name),
  };
}

/** Ends every process of the cluster and removes its folder; does nothing if there is none. */
export async function controlPlaneDown(name: string): Promise<void> {
  const layout = checkedLayout(name);
  await locked(layout, async () => {
    if (!existsSync(layout.dir)) return;
    await step(`Removing ${contextOf(name)}`, () => destroy(layout));
  });
}

/** Clients first, so that none complains; SIGKILL, since there is nothing left to save. */
async function destroy(layout: Layout): Promise<void> {
  for (const component of COMPONENTS.toReversed()) await stopDaemon(layout.pidFile(component), { signal: 'SIGKILL' });
  await rm(layout.dir, { recursive: true, force: true });
}

/** Every control-plane cluster of this checkout. */
export async function controlPlaneStatus(): Promise<ClusterStatus[]> {
  if (!existsSync(CLUSTERS_DIR)) return [];
  const layouts = (await readdir(CLUSTERS_DIR)).sort().map(layoutOf);
  return await Promise.all(layouts.filter(({ settings }) => existsSync(settings)).map(statusOf));
}

async function statusOf(layout: Layout): Promise<ClusterStatus> {
  const { name, kubeconfig: kubeconfigPath } = layout;
  const about = { kind: 'control-plane', name, kubeconfigPath, context: contextOf(name) } as const;
  const pids = await Promise.all(COMPONENTS.map((component) => alive(layout.pidFile(component))));
  const dead = COMPONENTS.filter((_, i) => pids[i] === undefined);
  if (dead.length === COMPONENTS.length) return { ...about, state: 'stopped' };
  if (dead.length > 0) return { ...about, state: 'degraded', detail: `not running: ${dead.join(', ')}` };
  const settings = await loadSettings(layout);
  if (settings && (await isReady(layout, settings))) return { ...about, state: 'running' };
  return { ...about, state: 'degraded', detail: 'kube-apiserver does not answer' };
}

/** The name becomes a folder and a context: the rules are those of a DNS label. */
function checkedLayout(name: string): Layout {
  if (/^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$/.test(name)) return layoutOf(name);
  throw new Error(`"${name}" cannot name a cluster: use up to 40 lower-case letters, digits and dashes.`);
}

function locked<T>(layout: Layout, fn: () => Promise<T>): Promise<T> {
  const waiting = () => note(`Another run is working on ${contextOf(layout.name)}; waiting for it.`);
  return withLock(`cluster ${layout.dir}`, fn, waiting);
}
