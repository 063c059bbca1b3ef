import { tierOf } from '../job/defaults.ts';
import type { Goal } from '../job/goal.ts';
import type { ClusterId, StoreId } from '../job/ids.ts';
import type { Condition, ConditionType, FieldKeeper, JobStatus, NextStep, Phase, WorkerCounts } from '../job/status.ts';
import type { Tier } from '../job/tier.ts';
import { type Action, actionText, actionWhy, isClusterAction, type WaitAction, type WaitReason } from './actions.ts';
import { type CellPlace, cellPlace } from './names.ts';
import { type CellObservation, seenAt } from './observation.ts';
import type { Rollout } from './rollout.ts';
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
  /** Who else keeps fields of the job's StreamJob. */
  readonly keepers: readonly FieldKeeper[];
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
    ...placed(input),
    next: input.actions.map((action): NextStep => ({ action: actionText(action), why: actionWhy(action) })),
    ...(input.keepers.length > 0 && { keepers: input.keepers }),
  };
}

const platformOf = ({ platform }: Goal): JobStatus['observedPlatform'] => ({
  all: platform.all?.revision ?? 0,
  tenant: platform.tenant?.revision ?? 0,
});

type Placing = Pick<StatusInput, 'storeId' | 'goal' | 'previous'>;

/** Where the goal says none, as a tombstone does, the tier that was said before. */
const tierIn = ({ goal, previous }: Placing): Tier | null => tierOf(goal.content) ?? previous?.tier ?? null;

/** Where the cell is, or will be: in a namespace of its own, unless some word of another tier is known. */
const placeOf = (input: Placing): CellPlace => cellPlace(input.storeId, input.goal.job, tierIn(input) ?? 'namespace');

const placed = (input: Placing): Pick<JobStatus, 'cell' | 'tier'> => ({
  cell: placeOf(input).namespace,
  tier: tierIn(input),
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
    ...placed(input),
    next: [{ action: 'wait', why: `${reason}: ${why}` }],
    ...(input.previous?.keepers && { keepers: input.previous.keepers }),
  };
}

function rolloutIn(input: StatusInput): Rollout | null {
  const { namespace, name } = placeOf(input);
  return seenAt(input.observed.objects, { kind: 'Deployment', namespace, name })?.rollout ?? null;
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

const NEED_A_PERSON: ReadonlySet<WaitReason> = new Set([
  'ForeignObject',
  'InvalidGoal',
  'LimitExceeded',
  'TierNotAvailable',
  'TenantNotServed',
  'Braked',
]);

/** What is waited for behind workers that run: their start, and the end of what a move has left behind. */
const BEHIND_WORKERS: ReadonlySet<WaitReason> = new Set(['WorkersStarting', 'Moving', 'Braked']);

function judge(input: StatusInput, rollout: Rollout | null): Verdict {
  const { goal, actions, failure } = input;
  if (goal.content.kind === 'tombstone') return judgeRemoval(input);
  const block = actions.find((a) => a.do === 'wait' && !BEHIND_WORKERS.has(a.reason));
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
  const left = actions.find((a) => a.do === 'wait' && (a.reason === 'Moving' || a.reason === 'Braked'));
  if (left?.do === 'wait') return judgeMove(left, rollout);
  const { spec } = goal.content;
  const { namespace } = placeOf(input);
  const observed = { ...input.observed, pods: input.observed.pods.filter((pod) => pod.namespace === namespace) };
  return judgeWorkers(cellTrouble(observed, rollout, spec, input.now), rollout, spec.suspended === true);
}

/** The cell works where it should be; what is left of it elsewhere still has to go. */
function judgeMove({ reason, message }: WaitAction, rollout: Rollout | null): Verdict {
  const isReady = rollout?.done === true && rollout.desired > 0;
  const isBraked = reason === 'Braked';
  const rest = { ready: isReady ? 'True' : 'False', stalled: isBraked, reconciling: !isBraked } as const;
  return verdict('Progressing', reason, message, rest);
}

function judgeRemoval({ actions, failure }: StatusInput): Verdict {
  const last = actions.at(-1);
  if (last?.do === 'noop') return verdict('Gone', 'Removed', 'the job is removed and its cell is gone');
  if (failure) {
    const { passing } = failure;
    return verdict('Deleting', failure.reason, failure.message, { stalled: !passing, reconciling: passing });
  }
  if (last?.do === 'wait' && NEED_A_PERSON.has(last.reason)) {
    return verdict('Deleting', last.reason, last.message, { stalled: true });
  }
  return verdict('Deleting', 'Removing', last ? actionWhy(last) : 'the cell is being removed', { reconciling: true });
}

function judgeWorkers(trouble: Trouble | null, rollout: Rollout | null, suspended: boolean): Verdict {
  if (!rollout) return verdict('Pending', 'Applying', 'the workers are not there yet', { reconciling: true });
  const counts = countsText(rollout);
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

function countsText({ ready, desired }: Rollout): string {
  const more = ready - desired;
  if (more <= 0) return `${ready} of ${desired} workers are ready`;
  const stopping = `${more} ${more === 1 ? 'worker is' : 'workers are'} stopping`;
  return desired === 0 ? stopping : `${desired} of ${desired} workers are ready; ${stopping}`;
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
