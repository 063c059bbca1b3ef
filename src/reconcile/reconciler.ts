import { canonicalJson } from '../job/canonical.ts';
import type { Goal } from '../job/goal.ts';
import type { ClusterId, StoreId } from '../job/ids.ts';
import type { FieldKeeper, JobStatus } from '../job/status.ts';
import { type Action, actionKey, type ClusterAction, inSteps, isClusterAction, removesCell } from '../plan/actions.ts';
import { cellNamespace } from '../plan/names.ts';
import { keyText, type ObjectKey, type ObservedObject, ownership } from '../plan/objects.ts';
import { type CellObservation, isAt, type SeenObject, seenAt } from '../plan/observation.ts';
import { type Braked, type Capabilities, plan } from '../plan/plan.ts';
import { readObject, seenObject } from '../plan/seen.ts';
import { status } from '../plan/status.ts';
import { type ActionExecutor, type CellAddress, ClusterError } from '../ports/cluster.ts';
import type { Fence } from '../ports/shards.ts';
import { NO_TURN, type Turn } from '../ports/signals.ts';
import type { BrakeVerdict, JobEvent } from '../ports/store.ts';
import { clusterError, decisive, described, type FailedWrite } from './failures.ts';
import { transitions, writeEvents } from './turn-events.ts';

/** A plan that acts may bring up new work (an object met at our name); more rounds than this are another try's. */
const MAX_ROUNDS = 6;
/** A braked removal asks again this often, so that a release that no hint told of is found. */
const ASK_AGAIN_MS = 30_000;

/** The cluster as one reconcile sees it. */
export interface CellView {
  readonly executor: ActionExecutor;
  /** What may be done at this moment; left out: everything. */
  readonly capabilities?: Capabilities;
  observe(cell: CellAddress): CellObservation;
  /** Until it is disposed of, a watch that tells of this write is no news. */
  expectWrite(key: ObjectKey, goalHash: string): Disposable;
  recordWrite(stored: ObservedObject, goalHash: string): void;
  recordRead(found: ObservedObject): void;
  recordAbsence(object: SeenObject): void;
}

export interface ReconcileInput {
  readonly storeId: StoreId;
  readonly clusterId: ClusterId;
  readonly goal: Goal;
  readonly previous: JobStatus | null;
  readonly cell: CellView;
  /** Asked before every write: null once we no longer own the job's shard. */
  readonly fence: () => Fence | null;
  /** Asks the brake before a cell is removed. @throws StoreError */
  readonly reserveRemoval: (fence: Fence) => Promise<BrakeVerdict>;
  /** Who else keeps fields of the job's StreamJob. */
  readonly keepers: readonly FieldKeeper[];
  readonly now: () => number;
  /** Hears of each plan and each write. */
  readonly turn?: Turn;
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
  /** Those of them that tell of writes: true whatever became of the connection since. */
  readonly done: readonly JobEvent[];
  readonly next: Next;
  /** Whether anything was written to the cluster. */
  readonly wrote: boolean;
  /** What kept the last action from being done; null when nothing did. */
  readonly failure: ClusterError | null;
  /** Set when the fault lies with the connection, not with the job. */
  readonly connectionError: ClusterError | null;
  /** The fence that the cluster refused: either the shard is another replica's by now, or the object is in disorder. */
  readonly refused: Fence | null;
  /** Whether a removal waits for the brake. */
  readonly braked: boolean;
}

interface Progress {
  /** What the API server took, in the order in which it was begun. */
  readonly writes: ClusterAction[];
  /** Objects met at our names that the watches do not show: not ours, or not ours any more. */
  readonly met: Map<string, SeenObject>;
  /** What was read in this turn, by UID, so that the plan can name the fields that differ. */
  readonly read: Map<string, SeenObject>;
  failure: ClusterError | null;
  /** The namespace of the tenant, which is not there, and which no cell makes. */
  missingNamespace: string | null;
  braked: Braked | null;
  /** The fence under which was written last. */
  fence: Fence | null;
}

/**
 * One job, one turn: observe, plan, apply; what is to be stored is returned. Never throws for a fault of the cluster.
 * @throws StoreError when the brake cannot be asked
 */
export async function reconcile(input: ReconcileInput): Promise<ReconcileResult> {
  const progress: Progress = {
    writes: [],
    met: new Map(),
    read: new Map(),
    failure: null,
    missingNamespace: null,
    braked: null,
    fence: null,
  };
  let actions: Action[] = [];
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    actions = planNow(input, progress);
    if (await readDrifted(input, actions, progress)) actions = planNow(input, progress);
    if (actions.some(removesCell) && (await isBraked(input, progress))) actions = planNow(input, progress);
    const writes = actions.filter(isClusterAction);
    if (writes.length === 0 || !(await applyAll(input, writes, progress))) break;
  }
  return conclude(input, actions, progress);
}

function planNow(input: ReconcileInput, progress: Progress): Action[] {
  const { storeId, goal, turn = NO_TURN } = input;
  const { capabilities } = input.cell;
  const { braked } = progress;
  return turn.step('plan', () => {
    const observed = observe(input, progress);
    const known = { storeId, goal, observed, now: input.now() };
    return plan({ ...known, ...(capabilities && { capabilities }), ...(braked && { braked }) });
  });
}

/**
 * A repair says which fields somebody has changed, so the objects are looked at before they are written over.
 * @returns whether anything was read
 */
async function readDrifted(input: ReconcileInput, actions: readonly Action[], progress: Progress): Promise<boolean> {
  const unread = actions.filter((action) => action.do === 'replace' && action.unread === true);
  if (unread.length === 0 || !input.fence()) return false;
  for (const action of unread.filter(isClusterAction)) {
    try {
      const found = await refreshKey(input, action, progress);
      if (found) progress.read.set(found.metadata.uid, readObject(found));
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      // Then the repair says less, and the write itself tells what is the matter.
    }
  }
  return true;
}

/** Reserves the removal that the plan came to. Without a fence nothing is asked, since nothing may be written either. */
async function isBraked(input: ReconcileInput, progress: Progress): Promise<boolean> {
  const fence = input.fence();
  if (!fence) return false;
  const verdict = await input.reserveRemoval(fence);
  if (verdict.kind === 'granted') return false;
  const until = Math.min(verdict.until.getTime(), input.now() + ASK_AGAIN_MS);
  progress.braked = { until, budget: verdict.budget };
  return true;
}

const addressOf = ({ storeId, goal: { job } }: ReconcileInput): CellAddress => ({
  id: job.id,
  namespace: cellNamespace(storeId, job),
});

function observe(input: ReconcileInput, { met, read }: Progress): CellObservation {
  const observed = input.cell.observe(addressOf(input));
  if (met.size === 0 && read.size === 0) return observed;
  const shown = observed.objects.map((object) => {
    const whole = read.get(object.uid);
    return whole?.resourceVersion === object.resourceVersion ? whole : object;
  });
  const others = [...met.values()].filter((object) => !shown.some((it) => isAt(it, object)));
  return { ...observed, objects: [...others, ...shown] };
}

/** Step by step, and no further than the first in which a write fails. @returns whether planning again makes sense */
async function applyAll(input: ReconcileInput, writes: readonly ClusterAction[], progress: Progress): Promise<boolean> {
  for (const step of inSteps(writes)) {
    const fence = input.fence();
    if (!fence) return false;
    progress.fence = fence;
    const before = progress.writes.length;
    const outcomes = await Promise.allSettled(step.map((action) => applyOne(input, action, fence, progress)));
    // Told in the order in which they were begun, whichever was answered first.
    const done = progress.writes.splice(before);
    progress.writes.push(...step.filter((action) => done.includes(action)));
    const failures = step.flatMap((action, i): FailedWrite[] => {
      const outcome = outcomes[i];
      return outcome?.status === 'rejected' ? [{ action, error: clusterError(outcome.reason) }] : [];
    });
    if (failures.length > 0) return failed(input, failures, progress);
  }
  return true;
}

/** @returns whether planning again makes sense */
async function failed(input: ReconcileInput, failures: readonly FailedWrite[], progress: Progress): Promise<boolean> {
  progress.failure = decisive(failures);
  if (progress.failure) return false;
  for (const { action, error } of failures) {
    if (!(await refresh(input, action, progress, error))) return false;
  }
  return true;
}

async function applyOne(input: ReconcileInput, action: ClusterAction, fence: Fence, progress: Progress): Promise<void> {
  const { cell, turn = NO_TURN } = input;
  using _told = action.do === 'delete' ? null : cell.expectWrite(actionKey(action), action.goalHash);
  const stored = await turn.write(action, () => cell.executor.execute(action, fence));
  progress.writes.push(action);
  if (stored && action.do !== 'delete') cell.recordWrite(stored as ObservedObject, action.goalHash);
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
    // Not there, and yet not to be created: the namespace is missing. A later try goes on.
    if (!found && action.do === 'create') {
      const { namespace } = actionKey(action);
      progress.failure = cause;
      if (namespace === input.goal.job.tenant) progress.missingNamespace = namespace;
    }
    return found !== null || action.do !== 'create';
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    progress.failure = error;
    return false;
  }
}

/**
 * Reads what is at the action's place now. What carries our ids goes into the cache, which shows it; anything else, also
 * another job's object at one of our names, is kept for this turn.
 */
async function refreshKey(
  input: ReconcileInput,
  action: ClusterAction,
  progress: Progress,
): Promise<ObservedObject | null> {
  const { cell, storeId, goal } = input;
  const key = actionKey(action);
  const found = await cell.executor.read(key);
  if (!found) {
    const known = seenAt(cell.observe(addressOf(input)).objects, key);
    if (known) cell.recordAbsence(known);
    return null;
  }
  const seen = seenObject(found.kind, found);
  if (seen.store === storeId) cell.recordRead(found);
  if (ownership(seen, storeId, goal.job.id) !== 'ours') progress.met.set(keyText(key), seen);
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
    failure: failure && described(failure, progress.missingNamespace),
    previous: input.previous,
    keepers: input.keepers,
    now,
  });
  const done = writeEvents(input.goal, progress.writes);
  const connection = failure?.kind === 'unavailable' || failure?.kind === 'unauthorized';
  return {
    status: next,
    changed: canonicalJson(next) !== canonicalJson(input.previous),
    events: [...done, ...transitions(input.previous, next)],
    done,
    next: nextTurn(actions, failure),
    wrote: done.length > 0,
    failure,
    connectionError: connection ? failure : null,
    refused: failure?.kind === 'fenced' ? progress.fence : null,
    braked: progress.braked !== null,
  };
}

function nextTurn(actions: readonly Action[], failure: ClusterError | null): Next {
  if (failure) return { kind: 'retry', afterMs: failure.retryAfterMs };
  if (actions.some(isClusterAction)) return { kind: 'retry', afterMs: null };
  const times = actions.flatMap((action) => (action.do === 'wait' && action.until !== null ? [action.until] : []));
  return times.length > 0 ? { kind: 'at', time: Math.min(...times) } : { kind: 'idle' };
}
