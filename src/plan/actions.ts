import { type CellKind, type KubeObject, keyOf, type ObjectKey, type ObservedObject, shortKey } from './objects.ts';

/**
 * What a plan is made of: plain data. The same value feeds apply, `diff`, events, the audit trail and golden tests.
 */
export type ClusterAction =
  | {
      readonly do: 'create';
      readonly object: KubeObject;
      /** Hash of what the goal asks for: ties the server's answer to it (see Settled). */
      readonly goalHash: string;
      readonly why: string;
    }
  | {
      /** A full replacement under the UID and version that the decision was made on. */
      readonly do: 'replace';
      readonly object: ObservedObject;
      readonly goalHash: string;
      readonly why: string;
      /** Set where only a live read can tell which fields differ. */
      readonly unread?: true;
    }
  | {
      readonly do: 'delete';
      readonly key: ObjectKey;
      readonly uid: string;
      /** null where only the UID binds: a Namespace or a Deployment, whose versions their own controllers move. */
      readonly resourceVersion: string | null;
      readonly why: string;
    };

/** What bounds workers, and the workers themselves: see {@link inSteps}. */
const SIDE_BY_SIDE: ReadonlySet<CellKind> = new Set(['ResourceQuota', 'LimitRange', 'Deployment']);

/**
 * Writes in the steps in which they are made: those of one step side by side, begun in its order.
 *
 * Where an edit changes workers and with them their quota and limits, people wait for the workers, so these begin. The
 * bounds stand all the while, the former ones or the new ones, and only hold back pods that are still to be made: for as
 * long as a new bound takes to be in force, a Deployment that grew meets refusals, and tries again. Everything else is
 * alone: what is not there yet is made before what stands behind it, and what lets traffic in or out changes before the
 * workers do.
 */
export function inSteps(writes: readonly ClusterAction[]): ClusterAction[][] {
  const steps: ClusterAction[][] = [];
  const isBeside = (action: ClusterAction | undefined): boolean =>
    action?.do === 'replace' && SIDE_BY_SIDE.has(action.object.kind);
  for (const action of writes) {
    const step = steps.at(-1);
    if (!step || !isBeside(action) || !isBeside(step[0])) steps.push([action]);
    else if (actionKey(action).kind === 'Deployment') step.unshift(action);
    else step.push(action);
  }
  return steps;
}

export type WaitReason =
  | 'WorkersStarting'
  | 'NamespaceTerminating'
  | 'OldCellTerminating'
  | 'CellTerminating'
  | 'ObjectTerminating'
  | 'ForeignObject'
  | 'InvalidGoal'
  | 'LimitExceeded'
  | 'Moving'
  | 'TierNotAvailable'
  | 'TenantNotServed'
  | 'Braked';

export type NoopReason = 'Converged' | 'Gone';

export type Action =
  | ClusterAction
  | {
      readonly do: 'wait';
      /** Milliseconds since 1970 at which to look again even if nothing was heard; null where only a change helps. */
      readonly until: number | null;
      readonly reason: WaitReason;
      readonly message: string;
    }
  | { readonly do: 'noop'; readonly reason: NoopReason };

export type WaitAction = Extract<Action, { do: 'wait' }>;

export const isClusterAction = (action: Action): action is ClusterAction =>
  action.do === 'create' || action.do === 'replace' || action.do === 'delete';

/**
 * Whether an action takes a whole cell away: what the brake counts. In a namespace of its own that is the namespace,
 * among others the workers, which go before anything else does.
 */
export const removesCell = (action: Action): boolean =>
  action.do === 'delete' && (action.key.kind === 'Namespace' || action.key.kind === 'Deployment');

export const actionKey = (action: ClusterAction): ObjectKey =>
  action.do === 'delete' ? action.key : keyOf(action.object);

/** One line for people: what would be done. */
export function actionText(action: Action): string {
  switch (action.do) {
    case 'create':
    case 'replace':
    case 'delete':
      return `${action.do} ${shortKey(actionKey(action))}`;
    case 'wait':
      return 'wait';
    case 'noop':
      return 'nothing';
  }
}

/** Why, as a sentence. */
export function actionWhy(action: Action): string {
  switch (action.do) {
    case 'create':
    case 'replace':
    case 'delete':
      return action.why;
    case 'wait':
      return `${action.reason}: ${action.message}`;
    case 'noop':
      return action.reason === 'Gone' ? 'the job is removed and its cell is gone' : 'the cell matches its goal';
  }
}
