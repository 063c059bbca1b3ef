import type { Goal, JobContent, PlatformLayers } from '../../src/job/goal.ts';
import { jobId, replicaId, revision, shardOf, storeId } from '../../src/job/ids.ts';
import { effectiveGoal } from '../../src/job/layers.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import type { Fence } from '../../src/ports/shards.ts';

export const STORE = storeId('00000000-0000-4000-8000-00000000000a');
export const OTHER_STORE = storeId('00000000-0000-4000-8000-00000000000b');
export const JOB_A = jobId('11111111-1111-4111-8111-111111111111');
export const JOB_B = jobId('22222222-2222-4222-8222-222222222222');
export const REPLICA = replicaId('00000000-0000-4000-8000-0000000000ee');

/** A fence for the shard of job A, under the first epoch of an invented database. */
export const FENCE_A: Fence = {
  replica: REPLICA,
  shard: shardOf(JOB_A),
  epoch: { system: '7000000000000000001', timeline: 1, n: 1 },
};

export const MINIMAL: JobSpec = { container: { image: 'registry.example/app:1' } };

const NO_PLATFORM: PlatformLayers = { all: null, tenant: null };

export interface GoalParts {
  readonly id?: Goal['job']['id'];
  readonly tenant?: string;
  readonly name?: string;
  readonly revision?: number;
  readonly content?: JobContent;
  readonly platform?: PlatformLayers;
}

/** A goal with everything that a test does not care about filled in. */
export function goalOf(spec: JobSpec = MINIMAL, parts: GoalParts = {}): Goal {
  const platform = parts.platform ?? NO_PLATFORM;
  const at = revision(parts.revision ?? 1);
  const layers = {
    job: {
      revision: at,
      content: parts.content ?? { kind: 'spec' as const, spec },
      contentHash: 'unused',
      author: 'test',
      source: 'cli' as const,
      reason: null,
      idempotencyKey: null,
      createdAt: new Date(0),
    },
    scaler: null,
    oncall: null,
  };
  return {
    job: { id: parts.id ?? JOB_A, tenant: parts.tenant ?? 'ads', name: parts.name ?? 'clicks' },
    revision: at,
    layers,
    platform,
    content: effectiveGoal(layers, platform),
  };
}

export const tombstoneOf = ({ job, revision: at }: Goal): Goal =>
  goalOf(MINIMAL, { ...job, revision: at + 1, content: { kind: 'tombstone' } });
