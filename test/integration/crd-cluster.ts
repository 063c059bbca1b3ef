import { join } from 'node:path';
import { parse } from 'yaml';
import { APPLY_PATCH, type Transport } from '../../src/cluster/transport.ts';
import { STREAM_JOB_DEFINITION } from '../../src/crd/definition.ts';
import { manifestText } from '../../src/crd/manifest.ts';
import { API_VERSION, KIND } from '../../src/job/spec.ts';
import { ClusterError } from '../../src/ports/cluster.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { localkube } from '../cluster/localkube.ts';
import { type RunOptions, run } from '../cluster/progress.ts';
import { connect } from '../support/operator.ts';
import { until } from '../support/until.ts';

/** What the tests of the CustomResourceDefinition have in common: an API server that has it, and kubectl. */

const CHECKOUT = join(import.meta.dirname, '../..');
export const TENANT = 'ads';
const CRD_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const CRD_NAME = STREAM_JOB_DEFINITION.metadata.name;
const SERVED_TIMEOUT_MS = 60_000;

export interface Meta {
  readonly name: string;
  readonly resourceVersion: string;
  readonly generation: number;
}
export interface StreamJobObject {
  readonly metadata: Meta;
  readonly spec: Record<string, unknown>;
  readonly status?: Record<string, unknown>;
}

export const jobsPath = `/apis/${API_VERSION}/namespaces/${TENANT}/streamjobs`;
export const jobPath = (name: string): string => `${jobsPath}/${name}`;

export const streamJob = (name: string, spec: object): object => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name, namespace: TENANT },
  spec,
});

export interface CrdCluster extends AsyncDisposable {
  readonly api: Transport;
  readonly cluster: ControlPlaneCluster;
  /** `kubectl …`; `input` is its stdin. */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  /** Applies a definition and waits until objects can be made by it. */
  install(definition?: unknown): Promise<void>;
  get(name: string): Promise<StreamJobObject>;
  /** Server-side apply under a manager's name. */
  apply(manager: string, name: string, spec: object): Promise<StreamJobObject>;
}

/** A fresh API server with the definition and the tenant's namespace in it. */
export async function crdCluster(name: string): Promise<CrdCluster> {
  const cluster = await up('control-plane', { name, fsync: false, fresh: true });
  const binary = await localkube();
  const api = await connect(cluster);
  const it: CrdCluster = {
    api,
    cluster,
    kubectl(args, input) {
      const options: RunOptions = { cwd: CHECKOUT, env: { KUBECONFIG: cluster.kubeconfigPath } };
      return run(binary, ['kubectl', ...args], input === undefined ? options : { ...options, input });
    },
    async install(definition = parse(manifestText())) {
      const body = { ...(definition as object) };
      const query = { fieldManager: 'installer', force: 'true' };
      await api.call('PATCH', `${CRD_PATH}/${CRD_NAME}`, { body, query, contentType: APPLY_PATCH });
      await until('the definition is established', 20_000, async () => {
        const found = (await api.call('GET', `${CRD_PATH}/${CRD_NAME}`)) as {
          status?: { conditions?: { type: string; status: string }[] };
        };
        return found.status?.conditions?.some((c) => c.type === 'Established' && c.status === 'True');
      });
    },
    get: async (job) => (await api.call('GET', jobPath(job))) as StreamJobObject,
    apply: async (manager, job, spec) =>
      (await api.call('PATCH', jobPath(job), {
        body: streamJob(job, spec),
        query: { fieldManager: manager },
        contentType: APPLY_PATCH,
      })) as StreamJobObject,
    async [Symbol.asyncDispose]() {
      await api.close();
      await cluster.down();
    },
  };
  await it.install();
  for (const tenant of [TENANT, 'shop']) {
    await api.call('POST', '/api/v1/namespaces', { body: { metadata: { name: tenant } } });
  }
  await until('objects can be made', SERVED_TIMEOUT_MS, () => isServed(api));
  return it;
}

/**
 * Whether objects can be made. An API server serves a new definition a moment after it says so, and a mutating admission
 * policy learns of it some seconds later: until then it answers 503 to every write.
 */
const isServed = async (api: Transport): Promise<boolean> => {
  const body = streamJob('probe', { container: { image: 'app' } });
  try {
    await api.call('POST', jobsPath, { body, query: { dryRun: 'All' } });
    return true;
  } catch (error) {
    if (error instanceof ClusterError && error.kind !== 'invalid') return false;
    throw error;
  }
};

/** The live definition as the API server gives it. */
export const liveDefinition = (api: Transport): Promise<unknown> => api.call('GET', `${CRD_PATH}/${CRD_NAME}`);
