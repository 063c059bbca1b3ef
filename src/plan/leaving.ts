import { type Action, removesCell, type WaitAction } from './actions.ts';
import { brakedWait, foreign, namespaceIn, type PlanInput, wait } from './input.ts';
import { type CellPlace, cellPlace } from './names.ts';
import { CELL_KIND_NAMES, ownership, shortKey } from './objects.ts';
import type { SeenObject } from './observation.ts';

/** How a cell goes: by a tombstone from wherever something of it is, or from the old place once the new one works. */

/** A tombstone: what is there, in either place, goes, and the brake counts it as one removal. */
export function planRemoval(input: PlanInput): Action[] {
  const { goal, storeId } = input;
  const why = `revision ${goal.revision} removes the job`;
  const actions = (['namespace', 'shared'] as const).flatMap((tier) =>
    planLeaving(input, cellPlace(storeId, goal.job, tier), why),
  );
  if (actions.length === 0) return [{ do: 'noop', reason: 'Gone' }];
  return input.braked && actions.some(removesCell) ? [brakedWait(input.braked)] : actions;
}

/**
 * The cell works in its new place: what is left in the other one goes. Until then both have workers, as a rolling update
 * has two kinds of them. Empty when nothing is left, or when a newer revision than this plan's has begun to move back.
 */
export function planMove(input: PlanInput, { tier }: CellPlace): Action[] {
  const { goal, storeId } = input;
  const old = cellPlace(storeId, goal.job, tier === 'shared' ? 'namespace' : 'shared');
  if (ownIn(input, isIn(old)).some(({ revision }) => Number(revision) > goal.revision)) return [];
  const actions = planLeaving(input, old, `the cell is in tier ${tier} now, and its workers are ready there`);
  if (input.braked && actions.some(removesCell)) return [brakedWait(input.braked)];
  return actions.map((action) =>
    action.do === 'wait'
      ? { ...action, reason: 'Moving', message: `the job has moved to tier ${tier}; ${action.message}` }
      : action,
  );
}

/** What takes the job's cell out of one place, or waits for it to go. Empty when nothing of it is there. */
const planLeaving = (input: PlanInput, place: CellPlace, why: string): Action[] =>
  place.tier === 'namespace' ? leaveNamespace(input, place, why) : leaveShared(input, place, why);

const deletion = ({ kind, namespace, name, uid, resourceVersion }: SeenObject, why: string): Action => {
  // Controllers move the versions of these without end; which one is meant, the UID says.
  const isRestless = kind === 'Namespace' || kind === 'Deployment';
  const key = { kind, namespace, name };
  return { do: 'delete', key, uid, resourceVersion: isRestless ? null : resourceVersion, why };
};

const isIn =
  (place: CellPlace) =>
  ({ kind, namespace, name }: SeenObject): boolean =>
    place.tier === 'namespace'
      ? namespace === place.namespace || (kind === 'Namespace' && name === place.namespace)
      : namespace === place.namespace && name === place.name;

const ownIn = ({ observed, storeId, goal }: PlanInput, isInPlace: (object: SeenObject) => boolean) =>
  observed.objects.filter((o) => isInPlace(o) && ownership(o, storeId, goal.job.id) === 'ours');

/** Everything in the namespace goes with it. */
function leaveNamespace(input: PlanInput, place: CellPlace, why: string): Action[] {
  const namespace = namespaceIn(input, place.namespace);
  if (namespace && ownership(namespace, input.storeId, input.goal.job.id) === 'ours') {
    return namespace.isTerminating
      ? [wait(input, 'CellTerminating', `namespace ${place.namespace} is being deleted by Kubernetes`)]
      : [deletion(namespace, why)];
  }
  // The namespace is gone or not ours: so is the cell, unless something of it is still to be seen.
  const [rest] = ownIn(input, isIn(place));
  if (!rest) return [];
  if (namespace) return [foreign(input, namespace)];
  return [wait(input, 'CellTerminating', `${shortKey(rest)} is still to be seen in the cell that was removed`)];
}

/**
 * The namespace stays, so the objects go one by one: the workers first, and the walls when no worker is left that they
 * stand around.
 */
function leaveShared(input: PlanInput, place: CellPlace, why: string): Action[] {
  const own = ownIn(input, isIn(place));
  const workers = own.find(({ kind }) => kind === 'Deployment');
  if (workers && !workers.isTerminating) return [deletion(workers, why)];
  const pods = input.observed.pods.filter(({ namespace }) => namespace === place.namespace);
  if (workers || pods.length > 0) return [workersEnding(input, place, pods.length)];
  const last = (object: SeenObject): number => -CELL_KIND_NAMES.indexOf(object.kind);
  return own
    .toSorted((a, b) => last(a) - last(b))
    .map((found) =>
      found.isTerminating
        ? wait(input, 'CellTerminating', `${shortKey(found)} in namespace ${place.namespace} is being deleted`)
        : deletion(found, why),
    );
}

function workersEnding(input: PlanInput, { namespace }: CellPlace, pods: number): WaitAction {
  const left = `${pods} ${pods === 1 ? 'worker' : 'workers'} left`;
  return wait(
    input,
    'CellTerminating',
    `the workers in namespace ${namespace} are ending, ${left}; their walls go last`,
  );
}
