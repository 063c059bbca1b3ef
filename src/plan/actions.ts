import { type KubeObject, keyOf, type ObjectKey, type ObservedObject, shortKey } from './objects.ts';

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
