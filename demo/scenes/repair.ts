import { objectPath } from '../../src/cluster/paths.ts';
import { type JobRef, jobName } from '../../src/job/ids.ts';
import type { CellKind, ObjectKey } from '../../src/plan/objects.ts';
import { ClusterError } from '../../src/ports/cluster.ts';
import { note, step } from '../../test/cluster/progress.ts';
import { until } from '../../test/support/until.ts';
import type { Cells } from '../cells.ts';
import { type Finding, withinLimit } from '../report.ts';
import { isRunning, type Stage, untilStatus } from '../stage.ts';

/** Limits of a repair (of a Namespace: counted from the end of its termination). */
const REPAIR_LIMIT_MS = 5_000;
const READY_LIMIT_MS = 60_000;
/** Ending a namespace and starting pods are Kubernetes' own work: waited for, and no part of the limit. */
const KUBERNETES_LIMIT_MS = 90_000;

interface Live {
  readonly metadata: { readonly uid: string };
  readonly spec?: { readonly replicas?: number };
}

/** Scene 3: what people and machines break is put right, and how long that takes. */
export async function repair(stage: Stage, cells: Cells, job: JobRef): Promise<Finding[]> {
  const settled = () => untilStatus(stage, [job.id], 'the job runs', READY_LIMIT_MS, isRunning);
  const findings: Finding[] = [];
  for (const scene of [killPod, deleteDeployment, deleteNamespace, changeField]) {
    await settled();
    findings.push(await scene(cells, job));
  }
  await settled();
  return findings;
}

const keyOf = (cells: Cells, job: JobRef, kind: CellKind): ObjectKey =>
  kind === 'Namespace'
    ? { kind, namespace: '', name: cells.namespace(job) }
    : { kind, namespace: cells.namespace(job), name: job.name };

async function read(cells: Cells, key: ObjectKey): Promise<Live | null> {
  try {
    return (await cells.api.call('GET', objectPath(key))) as Live;
  } catch (error) {
    if (error instanceof ClusterError && error.kind === 'gone') return null;
    throw error;
  }
}

async function killPod(cells: Cells, job: JobRef): Promise<Finding> {
  const before = await cells.pods(job);
  const victim = before[0];
  if (!victim) throw new Error(`${jobName(job)} has no pod`);
  const body = { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 };
  const { elapsedMs } = await step(`Killing a pod of ${jobName(job)}`, async () => {
    await cells.api.call('DELETE', `/api/v1/namespaces/${victim.namespace}/pods/${victim.name}`, { body });
    return until('another pod is ready', KUBERNETES_LIMIT_MS, async () => {
      const pods = await cells.pods(job);
      return pods.length === before.length && pods.every((pod) => pod.ready && pod.uid !== victim.uid);
    });
  });
  return withinLimit('a killed pod: another is ready', elapsedMs, READY_LIMIT_MS);
}

async function deleteDeployment(cells: Cells, job: JobRef): Promise<Finding> {
  const key = keyOf(cells, job, 'Deployment');
  const uid = (await read(cells, key))?.metadata.uid;
  const { elapsedMs } = await step(`Deleting the Deployment of ${jobName(job)}`, async () => {
    await cells.api.call('DELETE', objectPath(key));
    return until('another Deployment is there', KUBERNETES_LIMIT_MS, async () => {
      const found = await read(cells, key);
      return found !== null && found.metadata.uid !== uid;
    });
  });
  return withinLimit('a deleted Deployment: made again', elapsedMs, REPAIR_LIMIT_MS);
}

async function deleteNamespace(cells: Cells, job: JobRef): Promise<Finding> {
  const key = keyOf(cells, job, 'Namespace');
  const uid = (await read(cells, key))?.metadata.uid;
  const { elapsedMs } = await step(`Deleting the whole Namespace of ${jobName(job)}`, async () => {
    await cells.api.call('DELETE', objectPath(key));
    const ended = await until('the namespace has ended', KUBERNETES_LIMIT_MS, async () => {
      return (await read(cells, key))?.metadata.uid !== uid;
    });
    note(`  Kubernetes took ${(ended.elapsedMs / 1000).toFixed(1)} s to end it`);
    return until('all is there again', KUBERNETES_LIMIT_MS, () => read(cells, keyOf(cells, job, 'Deployment')));
  });
  return withinLimit('a deleted Namespace: the whole cell made again', elapsedMs, REPAIR_LIMIT_MS);
}

async function changeField(cells: Cells, job: JobRef): Promise<Finding> {
  const key = keyOf(cells, job, 'Deployment');
  const replicas = (await read(cells, key))?.spec?.replicas;
  const { elapsedMs } = await step(`Scaling ${jobName(job)} by hand`, async () => {
    await cells.api.call('PATCH', objectPath(key), {
      body: { spec: { replicas: 5 } },
      contentType: 'application/merge-patch+json',
    });
    return until('the field is as before', KUBERNETES_LIMIT_MS, async () => {
      return (await read(cells, key))?.spec?.replicas === replicas;
    });
  });
  return withinLimit('a field changed by hand: put right', elapsedMs, REPAIR_LIMIT_MS);
}
