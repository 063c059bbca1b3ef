import type { Caller } from '../../src/cluster/transport.ts';
import { ClusterError } from '../../src/ports/cluster.ts';
import { until } from './until.ts';

/** StreamJobs as plain objects, for tests of what a cluster does with them whatever their schema is. */

export interface StreamJobObject {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation: number;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly spec: { readonly workers: { readonly replicas: number } };
  readonly [field: string]: unknown;
}

const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

/** As much of the CRD as policies see: its names, its subresources and that it takes any spec. */
const CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'streamjobs.bulkhead.dev' },
  spec: {
    group: 'bulkhead.dev',
    scope: 'Namespaced',
    names: { kind: 'StreamJob', listKind: 'StreamJobList', plural: 'streamjobs', singular: 'streamjob' },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        subresources: {
          status: {},
          scale: { specReplicasPath: '.spec.workers.replicas', statusReplicasPath: '.status.replicas' },
        },
        schema: { openAPIV3Schema: { type: 'object', properties: { spec: open, status: open } } },
      },
    ],
  },
};

const CRDS_PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
/** An API server looks for new kinds every 5 s before its mutating policies know them. */
const KNOWN_TIMEOUT_MS = 30_000;

export const streamJobsPath = (namespace: string): string =>
  `/apis/bulkhead.dev/v1alpha1/namespaces/${namespace}/streamjobs`;

export const streamJob = (name: string, replicas = 1, metadata: object = {}): object => ({
  apiVersion: 'bulkhead.dev/v1alpha1',
  kind: 'StreamJob',
  metadata: { ...metadata, name },
  spec: { workers: { replicas } },
});

/** Makes the CRD and waits until StreamJobs can be made. */
export async function installStreamJobs(api: Caller): Promise<void> {
  await api.call('POST', CRDS_PATH, { body: CRD });
  await until('StreamJobs can be made', KNOWN_TIMEOUT_MS, async () => {
    try {
      const body = streamJob('probe');
      await api.call('POST', streamJobsPath('default'), { query: { dryRun: 'All' }, body });
      return true;
    } catch (error) {
      if (error instanceof ClusterError) return false;
      throw error;
    }
  });
}
