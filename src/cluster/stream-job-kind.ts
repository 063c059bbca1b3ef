import { z } from 'zod';
import { API_VERSION, KIND } from '../job/spec.ts';
import { CRD_NAME, type Home, STREAM_JOB_ANNOTATIONS } from '../plan/stream-job.ts';
import { ClusterError } from '../ports/cluster.ts';
import { FENCE_NAMESPACE } from './epoch-fence-data.ts';
import { crdPath, namespacePath, streamJobsPath } from './paths.ts';
import type { Caller } from './transport.ts';

const homeSchema = z.looseObject({
  metadata: z.looseObject({ deletionTimestamp: z.string().optional() }),
});

/** How the API server refuses a new object of a kind that is being deleted. */
const KIND_IS_ENDING = 'custom resource definition is terminating';
/** The probes' own field manager: what Bulkhead writes by its usual one must carry an epoch. */
const PROBE_QUERY = { fieldManager: 'bulkhead-probe', dryRun: 'All' };

const probeBody = (annotations: Readonly<Record<string, string>>) => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { generateName: 'bulkhead-probe-', annotations },
  spec: { container: { image: 'probe' } },
});

/** Reads one object past every cache. @returns 'missing', 'terminating' or 'there'. @throws ClusterError */
async function stateOf(caller: Caller, path: string): Promise<'there' | 'missing' | 'terminating'> {
  try {
    const { metadata } = homeSchema.parse(await caller.call('GET', path));
    return metadata.deletionTimestamp === undefined ? 'there' : 'terminating';
  } catch (error) {
    if (error instanceof ClusterError && error.kind === 'gone') return 'missing';
    throw error;
  }
}

/** Where the definition may not be read, a try to make an object of the kind tells as well. */
async function kindByTrying(caller: Caller, tenant: string): Promise<'there' | 'terminating'> {
  try {
    await caller.call('POST', streamJobsPath(tenant), { query: PROBE_QUERY, body: probeBody({}) });
    return 'there';
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    if (error.kind === 'gone' || error.message.includes(KIND_IS_ENDING)) return 'terminating';
    if (error.kind === 'unavailable' || error.kind === 'throttled' || error.kind === 'unauthorized') throw error;
    return 'there';
  }
}

async function kindState(caller: Caller, tenant: string): Promise<'there' | 'missing' | 'terminating'> {
  try {
    return await stateOf(caller, crdPath(CRD_NAME));
  } catch (error) {
    if (!(error instanceof ClusterError) || error.kind !== 'forbidden') throw error;
    return kindByTrying(caller, tenant);
  }
}

/** Whether a StreamJob of this tenant has a home that stays, by reads from just now. @throws ClusterError */
export async function homeOf(caller: Caller, tenant: string): Promise<Home> {
  const [namespace, kind] = await Promise.all([stateOf(caller, namespacePath(tenant)), kindState(caller, tenant)]);
  if (kind !== 'there') return 'kind terminating';
  return namespace === 'there' ? 'there' : `namespace ${namespace}`;
}

const FORGED = '1 nobody';

/**
 * Tries to make a StreamJob with somebody else's name on it, without making it.
 * @returns whether the cluster replaced the name: only then can names be trusted
 * @throws ClusterError
 */
export async function stampsAuthors(caller: Caller): Promise<boolean> {
  const body = probeBody({ [STREAM_JOB_ANNOTATIONS.author]: FORGED });
  const answer = await caller.call('POST', streamJobsPath(FENCE_NAMESPACE), { query: PROBE_QUERY, body });
  const parsed = z
    .looseObject({ metadata: z.looseObject({ annotations: z.record(z.string(), z.string()).default({}) }) })
    .parse(answer);
  const stamped = parsed.metadata.annotations[STREAM_JOB_ANNOTATIONS.author];
  return stamped !== undefined && stamped !== FORGED;
}

export interface LiveDefinition {
  /** null where we may not read it. */
  readonly definition: unknown;
  /** It is being deleted, with all objects of the kind. */
  readonly isEnding: boolean;
}

/** The definition as the cluster has it. @throws ClusterError */
export async function liveDefinition(caller: Caller): Promise<LiveDefinition> {
  try {
    const definition = await caller.call('GET', crdPath(CRD_NAME));
    return { definition, isEnding: homeSchema.parse(definition).metadata.deletionTimestamp !== undefined };
  } catch (error) {
    if (error instanceof ClusterError && error.kind === 'forbidden') return { definition: null, isEnding: false };
    throw error;
  }
}
