import type { Goal } from '../../../src/job/goal.ts';
import { clusterId, revision } from '../../../src/job/ids.ts';
import type { Condition, JobStatus } from '../../../src/job/status.ts';
import type { StoredEvent, StoredStatus } from '../../../src/ports/store.ts';

/** The moment at which everything here is looked at. */
export const NOW = Date.parse('2026-11-23T12:00:00Z');
export const CLUSTER = clusterId('cccccccc-cccc-4ccc-8ccc-cccccccccccc');

export const ago = (seconds: number): Date => new Date(NOW - seconds * 1000);

export const condition = (parts: Partial<Condition> = {}): Condition => ({
  type: 'Ready',
  status: 'True',
  reason: 'WorkersReady',
  message: '2 of 2 workers are ready',
  lastTransitionTime: ago(300).toISOString(),
  ...parts,
});

/** What was seen of a goal's job, a minute ago: all is well unless the test says otherwise. */
export const seenOf = (goal: Goal, parts: Partial<JobStatus> = {}): StoredStatus => ({
  updatedAt: ago(60),
  status: {
    jobId: goal.job.id,
    observedRevision: goal.revision,
    clusterId: CLUSTER,
    phase: 'Running',
    conditions: [condition()],
    workers: { desired: 2, ready: 2, restarts: 0 },
    cell: `bh-${goal.job.tenant}-${goal.job.name}-abcdefghijkl`,
    next: [{ action: 'nothing', why: 'the cell matches its goal' }],
    ...parts,
  },
});

export const eventOf = (goal: Goal, parts: Partial<StoredEvent> = {}): StoredEvent => ({
  job: goal.job,
  jobId: goal.job.id,
  revision: revision(1),
  type: 'Normal',
  reason: 'WorkersReady',
  message: '2 of 2 workers are ready',
  at: ago(300),
  ...parts,
});
