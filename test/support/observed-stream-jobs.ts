import type { JobSpec } from '../../src/job/spec.ts';
import { finalizerOf, type ObservedStreamJob, type StreamJobStatus } from '../../src/plan/stream-job.ts';
import { JOB_A, MINIMAL, STORE } from './goals.ts';

/** The status of a StreamJob that was taken in as revision `specRevision`. */
export const statusAt = (specRevision: number, change: Partial<StreamJobStatus> = {}): StreamJobStatus => ({
  observedGeneration: 1,
  storeId: STORE,
  jobId: JOB_A,
  revision: specRevision,
  specRevision,
  phase: 'Running',
  workers: '1/1',
  replicas: 1,
  readyReplicas: 1,
  restarts: 0,
  conditions: [],
  writtenBy: '',
  ...change,
});

/** A StreamJob that was taken in as revision 1 and has not been touched since. */
export const streamJob = (spec: JobSpec = MINIMAL, change: Partial<ObservedStreamJob> = {}): ObservedStreamJob => ({
  job: { tenant: 'ads', name: 'clicks' },
  uid: '00000000-0000-4000-8000-00000000ab01',
  resourceVersion: '10',
  generation: 1,
  isDeleting: false,
  finalizers: [finalizerOf(STORE)],
  annotations: {},
  isAnnotated: true,
  spec,
  status: statusAt(1),
  keepers: [],
  lastManager: 'kubectl-client-side-apply',
  scaleManager: null,
  ...change,
});
