import { canonicalJson } from '../job/canonical.ts';
import type { Goal } from '../job/goal.ts';
import type { ClusterId, StoreId } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import { type Action, actionKey, type ClusterAction, isClusterAction } from '../plan/actions.ts';
import { cellNamespace } from '../plan/names.ts';
import { keyText, LABELS, type ObservedObject, shortKey } from '../plan/objects.ts';
import type { CellObservation } from '../plan/observation.ts';
import { plan } from '../plan/plan.ts';
import { status } from '../plan/status.ts';
import { type ActionExecutor, ClusterError } from '../ports/cluster.ts';
import type { JobEvent } from '../ports/store.ts';

/** A plan that acts may bring up new work (an object met at our name); more rounds than this are another try's. */
const MAX_ROUNDS = 6;

/** The cluster as one reconcile sees it. */
export interface CellView {
  readonly executor: ActionExecutor;
  observe(namespace: string): CellObservation;
  recordWrite(stored: ObservedObject, goalHash: string): void;
  recordRead(found: ObservedObject): void;
  recordAbsence(object: ObservedObject): void;
}

export interface ReconcileInput {
  readonly storeId: StoreId;
  readonly clusterId: ClusterId;
  readonly goal: Goal;
  readonly previous: JobStatus | null;
  readonly cell: CellView;
  /** Asked before every write: false once we no longer own the work. */
  readonly mayWrite: () => boolean;
  readonly now: () => number;
}

export type Next =
  | { readonly kind: 'idle' }
  | { readonly kind: 'at'; readonly time: number }
  | { readonly kind: 'retry'; readonly afterMs: number | null };

export interface ReconcileResult {
  readonly status: JobStatus;
  /** Whether `status` differs from `previous` and has to be saved. */
  readonly changed: boolean;
  readonly events: readonly JobEvent[];
  readonly next: Next;
  /** Whether anything was written to the cluster. */
  readonly wrote: boolean;
  /** Set when the fault lies with the connection, not with the job. */
  readonly connectionError: ClusterError | null;
}

interface Progress {
  readonly events: JobEvent[];
  /** Objects met at our names that the watches do not show: not ours, or not ours any more. */
  readonly met: Map<string, ObservedObject>;
  failure: ClusterError | null;
}

/** One job, one turn: observe, plan, apply; what is to be stored is returned. Never throws for a fault of the cluster. */
export async function reconcile(input: ReconcileInput): Promise<ReconcileResult> {
  const progress: Progress = { events: [], met: new Map(), failure: null };
  let actions: Action[] = [];
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    actions = plan({ storeId: input.storeId, goal: input.goal, observed: observe(input, progress), now: input.now() });
    const writes = actions.filter(isClusterAction);
    if (writes.length === 0 || !(await applyAll(input, writes, progress))) break;
  }
  return conclude(input, actions, progress);
}

function observe({ cell, storeId, goal }: ReconcileInput, { met }: Progress): CellObservation {
  const observed = cell.observe(cellNamespace(storeId, goal.job));
  if (met.size === 0) return observed;
  return { ...observed, objects: new Map([...met, ...observed.objects]) };
}

/** In order, and no further than the first that fails. @returns whether planning again makes sense */
async function applyAll(input: ReconcileInput, writes: readonly ClusterAction[], progress: Progress): Promise<boolean> {
  for (const action of writes) {
    if (!input.mayWrite()) return false;
    try {
      await applyOne(input, action, progress);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      if (error.kind === 'conflict' || error.kind === 'gone') return refresh(input, action, progress, error);
      progress.failure = error;
      return false;
    }
  }
  return true;
}

async function applyOne(input: ReconcileInput, action: ClusterAction, progress: Progress): Promise<void> {
  const stored = await input.cell.executor.execute(action);
  progress.events.push({
    jobId: input.goal.job.id,
    revision: input.goal.revision,
    type: 'Normal',
    reason: { create: 'Created', replace: 'Replaced', delete: 'Deleted' }[action.do],
    message: `${shortKey(actionKey(action))}: ${action.why}`,
  });
  if (stored && action.do !== 'delete') input.cell.recordWrite(stored as ObservedObject, action.goalHash);
  if (action.do === 'delete') await refreshKey(input, action, progress);
}

/** Somebody else was there first: look at what is there now, and decide again. */
async function refresh(
  input: ReconcileInput,
  action: ClusterAction,
  progress: Progress,
  cause: ClusterError,
): Promise<boolean> {
  try {
    const found = await refreshKey(input, action, progress);
    // Not there, and yet not to be created: the namespace is missing. The watches will tell; a later try goes on.
    if (!found && action.do === 'create') progress.failure = cause;
    return found !== null || action.do !== 'create';
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    progress.failure = error;
    return false;
  }
}

async function refreshKey(
  { cell, storeId, goal }: ReconcileInput,
  action: ClusterAction,
  progress: Progress,
): Promise<ObservedObject | null> {
  const key = actionKey(action);
  const found = await cell.executor.read(key);
  const known = cell.observe(cellNamespace(storeId, goal.job)).objects.get(keyText(key));
  if (!found && known) cell.recordAbsence(known);
  if (found?.metadata.labels?.[LABELS.store] === storeId) cell.recordRead(found);
  else if (found) progress.met.set(keyText(key), found);
  return found;
}

function conclude(input: ReconcileInput, actions: readonly Action[], progress: Progress): ReconcileResult {
  const { failure } = progress;
  const now = input.now();
  const next = status({
    storeId: input.storeId,
    clusterId: input.clusterId,
    goal: input.goal,
    observed: observe(input, progress),
    actions,
    failure: failure && {
      reason: FAILURE_REASONS[failure.kind],
      message: failure.message,
      passing: !NEEDS_A_PERSON.has(failure.kind),
    },
    previous: input.previous,
    now,
  });
  const connection = failure?.kind === 'unavailable' || failure?.kind === 'unauthorized';
  return {
    status: next,
    changed: canonicalJson(next) !== canonicalJson(input.previous),
    events: [...progress.events, ...transitions(input.previous, next)],
    next: nextTurn(actions, failure),
    wrote: progress.events.length > 0,
    connectionError: connection ? failure : null,
  };
}

/** What only a person, or a change from outside, can mend. */
const NEEDS_A_PERSON: ReadonlySet<ClusterError['kind']> = new Set(['invalid', 'forbidden', 'unauthorized']);

const FAILURE_REASONS: Record<ClusterError['kind'], string> = {
  conflict: 'Conflict',
  gone: 'ObjectGone',
  terminating: 'NamespaceTerminating',
  invalid: 'ObjectRefused',
  forbidden: 'Forbidden',
  unauthorized: 'Unauthorized',
  throttled: 'Throttled',
  unavailable: 'ClusterUnavailable',
};

function nextTurn(actions: readonly Action[], failure: ClusterError | null): Next {
  if (failure) return { kind: 'retry', afterMs: failure.retryAfterMs };
  if (actions.some(isClusterAction)) return { kind: 'retry', afterMs: null };
  const times = actions.flatMap((action) => (action.do === 'wait' ? [action.until] : []));
  return times.length > 0 ? { kind: 'at', time: Math.min(...times) } : { kind: 'idle' };
}

/** One event for a Ready that flipped or changed its reason; nothing while all stays the same. */
function transitions(previous: JobStatus | null, next: JobStatus): JobEvent[] {
  const ready = next.conditions.find((c) => c.type === 'Ready');
  const before = previous?.conditions.find((c) => c.type === 'Ready');
  if (!ready || (before?.status === ready.status && before.reason === ready.reason)) return [];
  const stalled = next.conditions.some((c) => c.type === 'Stalled');
  return [
    {
      jobId: next.jobId,
      revision: next.observedRevision,
      type: stalled ? 'Warning' : 'Normal',
      reason: ready.reason,
      message: ready.message,
    },
  ];
}
