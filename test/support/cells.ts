import { effectiveSpec } from '../../src/job/defaults.ts';
import type { Goal } from '../../src/job/goal.ts';
import { cellNamespace } from '../../src/plan/names.ts';
import type { CellKind, KubeObject, ObservedObject } from '../../src/plan/objects.ts';
import type { ObservedPod } from '../../src/plan/observation.ts';
import { renderCell } from '../../src/plan/render/cell.ts';
import { FakeCluster } from '../../src/ports/cluster.fake.ts';
import type { CellAddress } from '../../src/ports/cluster.ts';
import { STORE } from './goals.ts';

export const addressOf = ({ job }: Goal): CellAddress => ({ id: job.id, namespace: cellNamespace(STORE, job) });

export const renderGoal = (goal: Goal): KubeObject[] => {
  if (goal.content.kind !== 'spec') throw new Error('a tombstone has no cell');
  return renderCell({ storeId: STORE, job: goal.job, revision: goal.revision, spec: effectiveSpec(goal.content.spec) });
};

/** The namespace that is named like a tenant, as a person made it: no part of a cell. */
export const tenantNamespace = (tenant: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: tenant },
});

/** A cluster in which the goal's cell is complete and its workers are ready. */
export function runningCell(goal: Goal): FakeCluster {
  const cluster = new FakeCluster();
  for (const object of renderGoal(goal)) cluster.put(object);
  cluster.finishRollouts();
  return cluster;
}

/** Changes the one object of that kind as somebody else would. */
export function change(cluster: FakeCluster, kind: CellKind, edit: (object: ObservedObject) => KubeObject): void {
  const found = [...cluster.objects.values()].find((o) => o.kind === kind);
  if (!found) throw new Error(`no ${kind} in the fake cluster`);
  cluster.put(edit(found));
}

/** Takes the one object of that kind away as if somebody had deleted it. */
export function remove(cluster: FakeCluster, kind: CellKind): void {
  for (const [key, object] of cluster.objects) if (object.kind === kind) cluster.objects.delete(key);
}

export const terminating = (object: ObservedObject): KubeObject => ({
  ...object,
  metadata: { ...object.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' },
});

/** A pod that is not ready, with what a test wants to say about it. */
export const podOf = (goal: Goal, parts: Partial<ObservedPod> = {}): ObservedPod => ({
  name: `${goal.job.name}-abc`,
  namespace: cellNamespace(STORE, goal.job),
  uid: 'pod-1',
  phase: 'Running',
  ready: false,
  terminating: false,
  restarts: 0,
  container: { waitingReason: null, waitingMessage: null, lastExit: null },
  unschedulable: null,
  ...parts,
});
