import type { Goal } from '../job/goal.ts';
import type { ClusterId, StoreId } from '../job/ids.ts';
import type { Condition, ConditionType, JobStatus, NextStep, Phase, WorkerCounts } from '../job/status.ts';
import { type Action, actionText, actionWhy, isClusterAction, type WaitReason } from './actions.ts';
import { cellNamespace } from './names.ts';
import { keyText } from './objects.ts';
import type { CellObservation } from './observation.ts';
import { type Rollout, rolloutOf } from './rollout.ts';
import { cellTrouble, type Trouble } from './trouble.ts';

export interface StatusInput {
  readonly storeId: StoreId;
  readonly clusterId: ClusterId;
  readonly goal: Goal;
  readonly observed: CellObservation;
  readonly actions: readonly Action[];
  /** What kept the last action from being done; null when nothing did. */
  readonly failure: {
    readonly reason: string;
    readonly message: string;
    /** Whether it passes by itself: nobody has to do anything. */
    readonly passing: boolean;
  } | null;
  readonly previous: JobStatus | null;
  /** Milliseconds since 1970. */
  readonly now: number;
}

interface Verdict {
  readonly phase: Phase;
  readonly ready: Condition['status'];
  readonly reason: string;
  readonly message: string;
  /** Work is under way that needs nobody. */
  readonly reconciling: boolean;
  /** Only a person, or a change from outside, can get it going. */
  readonly stalled: boolean;
}

/** What can be said of a job now. Pure; times of transition are taken over from `previous` while a status stays. */
export function status(input: StatusInput): JobStatus {
  const rollout = rolloutIn(input);
  const verdict = judge(input, rollout);
  return {
    jobId: input.goal.job.id,
    observedRevision: input.goal.revision,
    observedPlatform: platformOf(input.goal),
    clusterId: input.clusterId,
    phase: verdict.phase,
    conditions: conditions(verdict, input),
    workers: workers(input, rollout),
    cell: cellNamespace(input.storeId, input.goal.job),
    next: input.actions.map((action): NextStep => ({ action: actionText(action), why: actionWhy(action) })),
  };
}

const platformOf = ({ platform }: Goal): JobStatus['observedPlatform'] => ({
  all: platform.all?.revision ?? 0,
  tenant: platform.tenant?.revision ?? 0,
});

/** Why nothing at all may be written for a job, whatever its goal. */
export interface Withheld {
  readonly reason: 'ClusterChanged' | 'StoreBehind' | 'FenceMissing';
  /** What is the matter and what to do. */
  readonly why: string;
}

/**
 * The status of a job whose cluster may not be touched: nothing is known of its workers, and only a person can decide.
 * What the status said of the workers is kept, since they may well run on where they were.
 */
export function withheldStatus(
  input: Pick<StatusInput, 'storeId' | 'clusterId' | 'goal' | 'previous' | 'now'>,
  { reason, why }: Withheld,
): JobStatus {
  const from = verdict('Waiting', reason, why, { stalled: true, ready: 'Unknown' });
  return {
    jobId: input.goal.job.id,
    observedRevision: input.goal.revision,
    observedPlatform: platformOf(input.goal),
    clusterId: input.clusterId,
    phase: from.phase,
    conditions: conditions(from, input),
    workers: input.previous?.workers ?? { desired: 0, ready: 0, restarts: 0 },
    cell: cellNamespace(input.storeId, input.goal.job),
    next: [{ action: 'wait', why: `${reason}: ${why}` }],
  };
}

function rolloutIn({ storeId, goal, observed }: StatusInput): Rollout | null {
  const namespace = cellNamespace(storeId, goal.job);
  const found = observed.objects.get(keyText({ kind: 'Deployment', namespace, name: goal.job.name }));
  return found ? rolloutOf(found) : null;
}

function workers({ goal, observed }: StatusInput, rollout: Rollout | null): WorkerCounts {
  const live = observed.pods.filter((pod) => !pod.terminating);
  return {
    desired: goal.content.kind === 'tombstone' ? 0 : (rollout?.desired ?? 0),
    ready: rollout?.ready ?? 0,
    restarts: live.reduce((sum, pod) => sum + pod.restarts, 0),
  };
}

const verdict = (phase: Phase, reason: string, message: string, rest: Partial<Verdict> = {}): Verdict => ({
  phase,
  ready: 'False',
  reason,
  message,
  reconciling: false,
  stalled: false,
  ...rest,
});

const NEED_A_PERSON: ReadonlySet<WaitReason> = new Set(['ForeignObject', 'InvalidGoal', 'LimitExceeded', 'Braked']);

function judge(input: StatusInput, rollout: Rollout | null): Verdict {
  const { goal, actions, failure } = input;
  if (goal.content.kind === 'tombstone') return judgeRemoval(input);
  const block = actions.find((a) => a.do === 'wait' && a.reason !== 'WorkersStarting');
  if (block?.do === 'wait') {
    const stalled = NEED_A_PERSON.has(block.reason);
    return verdict('Waiting', block.reason, block.message, { stalled, reconciling: !stalled });
  }
  if (failure) {
    const ready = failure.passing && rollout?.done ? 'True' : 'False';
    const { passing } = failure;
    return verdict('Waiting', failure.reason, failure.message, { ready, stalled: !passing, reconciling: passing });
  }
  const changes = actions.filter(isClusterAction).length;
  if (changes > 0) {
    const message = `${changes} ${changes === 1 ? 'object has' : 'objects have'} to be written`;
    return verdict(rollout ? 'Progressing' : 'Pending', 'Applying', message, { reconciling: true });
  }
  // A refused goal has a wait in its plan, which was met above.
  if (goal.content.kind === 'refused') return verdict('Waiting', goal.content.because, '', { stalled: true });
  const { spec } = goal.content;
  return judgeWorkers(cellTrouble(input.observed, rollout, spec), rollout, spec.suspended === true);
}

function judgeRemoval({ actions, failure }: StatusInput): Verdict {
  const last = actions.at(-1);
  if (last?.do === 'noop') return verdict('Gone', 'Removed', 'the job is removed and its cell is gone');
  if (failure) {
    const { passing } = failure;
    return verdict('Deleting', failure.reason, failure.message, { stalled: !passing, reconciling: passing });
  }
  if (last?.do === 'wait' && last.reason === 'Braked') {
    return verdict('Deleting', 'Braked', last.message, { stalled: true });
  }
  return verdict('Deleting', 'Removing', last ? actionWhy(last) : 'the cell is being removed', { reconciling: true });
}

function judgeWorkers(trouble: Trouble | null, rollout: Rollout | null, suspended: boolean): Verdict {
  if (!rollout) return verdict('Pending', 'Applying', 'the workers are not there yet', { reconciling: true });
  const counts = `${rollout.ready} of ${rollout.desired} workers are ready`;
  if (suspended && rollout.done) return verdict('Suspended', 'Suspended', 'the job is suspended; its cell stays');
  if (rollout.done) return verdict('Running', 'WorkersReady', counts, { ready: 'True' });
  if (trouble) return verdict('Degraded', trouble.reason, `${counts}; ${trouble.message}`, { stalled: true });
  if (rollout.stuck) {
    return verdict('Degraded', 'ProgressDeadlineExceeded', `${counts}, and no more became ready in time`, {
      stalled: true,
    });
  }
  return verdict('Progressing', 'WorkersStarting', counts, { reconciling: true });
}

/** Reconciling and Stalled are absent when false, as kstatus has it. */
function conditions(from: Verdict, { previous, now }: Pick<StatusInput, 'previous' | 'now'>): Condition[] {
  const since = (type: ConditionType, value: Condition['status']): string => {
    const before = previous?.conditions.find((c) => c.type === type);
    return before?.status === value ? before.lastTransitionTime : new Date(now).toISOString();
  };
  const condition = (type: ConditionType, value: Condition['status']): Condition => ({
    type,
    status: value,
    reason: from.reason,
    message: from.message,
    lastTransitionTime: since(type, value),
  });
  return [
    condition('Ready', from.ready),
    ...(from.reconciling ? [condition('Reconciling', 'True')] : []),
    ...(from.stalled ? [condition('Stalled', 'True')] : []),
  ];
}
