import type { Goal } from '../job/goal.ts';
import type { JobId } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import type { ClusterAction } from '../plan/actions.ts';
import type { ClusterError } from './cluster.ts';
import type { Fence } from './shards.ts';
import type { JobEvent } from './store.ts';

/**
 * What the work tells of itself, for metrics, traces and the log. Whoever listens never throws, never waits and decides
 * nothing; without a listener ({@link NO_SIGNALS}) nothing changes.
 */

/** What a turn does beside its writes to the cell. */
export type Step = 'load' | 'plan' | 'record' | 'publish';

/** What a turn came to. A result of `reconcile` is one. */
export interface Conclusion {
  readonly status: JobStatus;
  readonly next: { readonly kind: 'idle' | 'at' | 'retry' };
  /** What kept the last action from being done; null when nothing did. */
  readonly failure: ClusterError | null;
  /** All that is to be told, and those of it that tell of writes. */
  readonly events: readonly JobEvent[];
  readonly done: readonly JobEvent[];
}

/** One turn of one job, from loading its goal to its last write. */
export interface Turn {
  /** For log lines about it: `turn`, `jobId` and, once the goal is known, `job` and `revision`. */
  readonly fields: object;
  /** The goal was loaded. @param fence under which is written; null where nothing may be */
  loaded(goal: Goal, fence: Fence | null): void;
  /** Runs one step of the turn. */
  step<T>(step: Step, work: () => T): T;
  /** Runs one write of the plan: it gets an action id, which is the turn's and a number. */
  write<T>(action: ClusterAction, work: () => Promise<T>): Promise<T>;
  /** What came of it. A turn that is neither concluded nor failed had nothing to do. */
  concluded(result: Conclusion): void;
  failed(error: unknown): void;
  /** Exactly once, last. */
  end(): void;
}

/** What becomes of the keys of the queue. */
export interface QueueSignals {
  /** A key became ready that was not. */
  added(): void;
  /** A key is to come again at a later time. */
  delayed(): void;
  taken(waitedMs: number): void;
  done(workedMs: number): void;
}

export interface ReconcileSignals {
  readonly queue: QueueSignals;
  startTurn(id: JobId): Turn;
}

/** Calls to an API server. */
export interface CallSignals {
  /** @param code of the answer; null where none came */
  answered(method: string, host: string, code: number | null, elapsedMs: number): void;
}

const nothing = (): void => undefined;

export const NO_TURN: Turn = {
  fields: {},
  loaded: nothing,
  step: (_step, work) => work(),
  write: (_action, work) => work(),
  concluded: nothing,
  failed: nothing,
  end: nothing,
};

export const NO_SIGNALS: ReconcileSignals = {
  queue: { added: nothing, delayed: nothing, taken: nothing, done: nothing },
  startTurn: () => NO_TURN,
};

export const NO_CALL_SIGNALS: CallSignals = { answered: nothing };
