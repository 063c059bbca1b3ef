import type { Goal, GoalContent } from '../../src/job/goal.ts';
import { jobId, revision, storeId } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';

export const STORE = storeId('00000000-0000-4000-8000-00000000000a');
export const OTHER_STORE = storeId('00000000-0000-4000-8000-00000000000b');
export const JOB_A = jobId('11111111-1111-4111-8111-111111111111');
export const JOB_B = jobId('22222222-2222-4222-8222-222222222222');

export const MINIMAL: JobSpec = { container: { image: 'registry.example/app:1' } };

export interface GoalParts {
  readonly id?: Goal['job']['id'];
  readonly tenant?: string;
  readonly name?: string;
  readonly revision?: number;
  readonly content?: GoalContent;
}

/** A goal with everything that a test does not care about filled in. */
export const goalOf = (spec: JobSpec = MINIMAL, parts: GoalParts = {}): Goal => ({
  job: { id: parts.id ?? JOB_A, tenant: parts.tenant ?? 'ads', name: parts.name ?? 'clicks' },
  revision: revision(parts.revision ?? 1),
  content: parts.content ?? { kind: 'spec', spec },
  contentHash: 'unused',
  author: 'test',
  source: 'cli',
  reason: null,
  createdAt: new Date(0),
});

export const tombstoneOf = (goal: Goal): Goal => ({
  ...goal,
  revision: revision(goal.revision + 1),
  content: { kind: 'tombstone' },
});
