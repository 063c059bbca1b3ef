/**
 * Local Kubernetes clusters for tests, the demo and benchmarks. The two kinds share {@link LocalCluster}; narrow a
 * {@link Cluster} by its `kind` for what only one of them can do.
 */
import { installAdmission } from './admission.ts';
import type { ControlPlaneCluster, ControlPlaneOptions } from './control-plane/index.ts';
import type { KindCluster, KindOptions } from './kind/index.ts';
import { DEFAULT_KIND_NAME } from './kind/naming.ts';
import type { ClusterKind, ClusterStatus } from './types.ts';

export { installAdmission } from './admission.ts';
export type { Component, ControlPlaneCluster, ControlPlaneOptions } from './control-plane/index.ts';
export type { KindCluster, KindOptions } from './kind/index.ts';
export type { ClusterKind, ClusterStatus, LocalCluster } from './types.ts';

export type Cluster = KindCluster | ControlPlaneCluster;

/** The name of a cluster when none is given: what the demo, most tests and `npm run cluster` share. */
export const DEFAULT_NAMES: Record<ClusterKind, string> = { kind: DEFAULT_KIND_NAME, 'control-plane': 'control-plane' };

/**
 * Makes a cluster that answers, or takes the one of that name that is there, repairing what is dead in it. Progress
 * goes to stderr. Without a name: {@link DEFAULT_NAMES}. Bulkhead's admission policies are in it, since without them no
 * operator writes.
 */
export function up(kind: 'control-plane', options?: Partial<ControlPlaneOptions>): Promise<ControlPlaneCluster>;
export function up(kind: 'kind', options?: KindOptions): Promise<KindCluster>;
export async function up(
  kind: ClusterKind,
  options: Partial<ControlPlaneOptions> & KindOptions = {},
): Promise<Cluster> {
  const named = { ...options, name: options.name ?? DEFAULT_NAMES[kind] };
  const cluster =
    kind === 'kind'
      ? await (await kindModule()).kindUp(named)
      : await (await controlPlaneModule()).controlPlaneUp(named);
  await installAdmission(cluster);
  return cluster;
}

/** Removes a cluster with all its data and processes; does nothing if there is none of that name. */
export async function down(kind: ClusterKind, name = DEFAULT_NAMES[kind]): Promise<void> {
  await (kind === 'kind' ? (await kindModule()).kindDown(name) : (await controlPlaneModule()).controlPlaneDown(name));
}

/** Every cluster of this checkout. */
export async function status(): Promise<ClusterStatus[]> {
  const [kinds, controlPlanes] = await Promise.all([kindModule(), controlPlaneModule()]);
  return [...(await kinds.kindStatus()), ...(await controlPlanes.controlPlaneStatus())];
}

// Loaded when asked for: each brings what only that kind needs.
const kindModule = () => import('./kind/index.ts');
const controlPlaneModule = () => import('./control-plane/index.ts');
