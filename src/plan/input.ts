import type { Goal } from '../job/goal.ts';
import type { StoreId } from '../job/ids.ts';
import type { WaitAction, WaitReason } from './actions.ts';
import { type ObjectKey, shortKey } from './objects.ts';
import { type CellObservation, type SeenObject, seenAt } from './observation.ts';

/** What all parts of the plan work on, and how they say that they wait. */

/** How long to wait before looking again where nothing has to be heard in between. */
const LOOK_AGAIN_MS = 30_000;

/** What an installation can do in its cluster at this moment. */
export interface Capabilities {
  /** The namespaces that it sees and works in; `all` where it may also make and delete them. */
  readonly namespaces: 'all' | readonly string[];
}

export const ALL_NAMESPACES: Capabilities = { namespaces: 'all' };

export interface PlanInput {
  readonly storeId: StoreId;
  readonly goal: Goal;
  readonly observed: CellObservation;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Left out: everything. */
  readonly capabilities?: Capabilities;
  /** What the brake answered to the removal that this plan came to before; left out while it has not been asked. */
  readonly braked?: Braked;
}

/** The brake holds a removal back. */
export interface Braked {
  /** Milliseconds since 1970 at which to ask again. */
  readonly until: number;
  /** Removals that one window allows. */
  readonly budget: number;
}

export const wait = (input: PlanInput, reason: WaitReason, message: string): WaitAction => ({
  do: 'wait',
  until: input.now + LOOK_AGAIN_MS,
  reason,
  message,
});

export const brakedWait = ({ until, budget }: Braked): WaitAction => ({
  do: 'wait',
  until,
  reason: 'Braked',
  message: `more cells are being removed than the brake lets go (${budget} in ten minutes), so this one waits and its workers run on; if it is meant: bulkhead brake release --reason …`,
});

export function foreign(input: PlanInput, found: ObjectKey): WaitAction {
  const where = found.namespace ? ` in namespace ${found.namespace}` : '';
  return wait(
    input,
    'ForeignObject',
    `${shortKey(found)}${where} is not Bulkhead's and is left alone; delete or rename it, and the job goes on`,
  );
}

/** The namespace of that name, as far as it is Bulkhead's or stands at one of our names. */
export const namespaceIn = ({ observed }: PlanInput, name: string): SeenObject | undefined =>
  seenAt(observed.objects, { kind: 'Namespace', namespace: '', name });
