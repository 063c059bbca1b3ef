import { podTemplate, workerStorage } from '../../engines/container.ts';
import type { EffectiveSpec } from '../../job/defaults.ts';
import type { JobRef, Revision, StoreId } from '../../job/ids.ts';
import { canonicalQuantity, multiplyQuantity } from '../../job/quantity.ts';
import { type CellPlace, cellPlace } from '../names.ts';
import { CELL_KINDS, type CellKind, type KubeObject, LABELS, MANAGER } from '../objects.ts';
import { networkPolicySpec } from './network.ts';

/** Rollouts add one worker before they take one away; the quota leaves room for that and for workers that still end. */
const SURGE = 1;
const PROGRESS_DEADLINE_SECONDS = 120;
const REVISION_HISTORY = 3;

export interface CellSource {
  readonly storeId: StoreId;
  readonly job: JobRef;
  readonly revision: Revision;
  readonly spec: EffectiveSpec;
}

interface Context extends CellSource {
  readonly place: CellPlace;
  /** On everything, pods included: stays the same for the life of the job. */
  readonly identity: Readonly<Record<string, string>>;
  readonly selector: Readonly<Record<string, string>>;
}

function object(context: Context, kind: CellKind, body: Record<string, unknown>): KubeObject {
  const { apiVersion, namespaced } = CELL_KINDS[kind];
  const { namespace, name } = context.place;
  return {
    apiVersion,
    kind,
    metadata: {
      ...(namespaced ? { name, namespace } : { name: namespace }),
      labels: { ...context.identity, [LABELS.revision]: String(context.revision) },
    },
    ...body,
  };
}

function renderNamespace(context: Context): KubeObject {
  const namespace = object(context, 'Namespace', {});
  const security = {
    'pod-security.kubernetes.io/enforce': 'restricted',
    'pod-security.kubernetes.io/enforce-version': 'latest',
  };
  return { ...namespace, metadata: { ...namespace.metadata, labels: { ...namespace.metadata.labels, ...security } } };
}

function renderQuota(context: Context): KubeObject {
  const { workers } = context.spec;
  const pods = 2 * (workers.replicas + SURGE);
  const times = (quantity: string) => multiplyQuantity(quantity, pods);
  return object(context, 'ResourceQuota', {
    spec: {
      hard: {
        pods: canonicalQuantity(String(pods)),
        'requests.cpu': times(workers.requests.cpu),
        'requests.memory': times(workers.requests.memory),
        'requests.ephemeral-storage': times(workerStorage.request),
        'limits.cpu': times(workers.limits.cpu),
        'limits.memory': times(workers.limits.memory),
        'limits.ephemeral-storage': times(workerStorage.limit),
      },
    },
  });
}

function renderLimitRange(context: Context): KubeObject {
  const { requests, limits } = context.spec.workers;
  return object(context, 'LimitRange', {
    spec: {
      limits: [{ type: 'Container', default: { ...limits }, defaultRequest: { ...requests }, max: { ...limits } }],
    },
  });
}

function renderDeployment(context: Context): KubeObject {
  const { spec, place, identity, selector } = context;
  return object(context, 'Deployment', {
    spec: {
      replicas: spec.suspended ? 0 : spec.workers.replicas,
      revisionHistoryLimit: REVISION_HISTORY,
      progressDeadlineSeconds: PROGRESS_DEADLINE_SECONDS,
      selector: { matchLabels: selector },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: SURGE, maxUnavailable: 0 } },
      template: podTemplate(spec, identity, selector, place.name),
    },
  });
}

function renderDisruptionBudget(context: Context): KubeObject {
  return object(context, 'PodDisruptionBudget', {
    spec: {
      maxUnavailable: 1,
      selector: { matchLabels: context.selector },
      // A worker that is not ready anyway must not keep a node from being drained.
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
    },
  });
}

/**
 * A name for the workers, and no address: the API server looks through all addresses of a cluster for each that it gives
 * out, and a cluster may have fewer of them than jobs (docs/decisions/0014-services-without-addresses.md).
 */
function renderService(context: Context): KubeObject {
  return object(context, 'Service', {
    spec: {
      type: 'ClusterIP',
      clusterIP: 'None',
      selector: context.selector,
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      ports: context.spec.container.ports.map((p) => ({
        name: p.name,
        port: p.port,
        protocol: p.protocol,
        targetPort: p.name,
      })),
    },
  });
}

const renderAccount = (context: Context): KubeObject =>
  object(context, 'ServiceAccount', { automountServiceAccountToken: false });

/** In a namespace of its own it is for all pods, whoever makes them; among others it is for the job's workers. */
function renderNetworkPolicy(context: Context): KubeObject {
  const { spec, job, storeId, place, selector } = context;
  const workers = place.tier === 'shared' ? selector : {};
  return object(context, 'NetworkPolicy', { spec: networkPolicySpec(spec, job.tenant, storeId, workers) });
}

/**
 * Everything a job's cell consists of, in the order in which it is made. Pure: the same source gives the same objects,
 * to the byte. A Service needs ports, so a job without any has none. What speaks of a whole namespace is left out in tier
 * `shared`, where the namespace is the tenant's.
 */
export function renderCell(source: CellSource): KubeObject[] {
  const { storeId, job, spec } = source;
  const context: Context = {
    ...source,
    place: cellPlace(storeId, job, spec.tier),
    identity: {
      [LABELS.managedBy]: MANAGER,
      [LABELS.store]: storeId,
      [LABELS.jobId]: job.id,
      [LABELS.tenant]: job.tenant,
      [LABELS.job]: job.name,
    },
    selector: { [LABELS.jobId]: job.id },
  };
  const isAlone = spec.tier === 'namespace';
  return [
    ...(isAlone ? [renderNamespace(context)] : []),
    renderAccount(context),
    ...(isAlone ? [renderQuota(context), renderLimitRange(context)] : []),
    renderNetworkPolicy(context),
    renderDeployment(context),
    renderDisruptionBudget(context),
    ...(spec.container.ports.length > 0 ? [renderService(context)] : []),
  ];
}
