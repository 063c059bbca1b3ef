import { randomBytes } from 'node:crypto';
import { formatEpoch } from '../job/epoch.ts';
import type { Goal } from '../job/goal.ts';
import { type JobId, jobName, shardOf } from '../job/ids.ts';
import { actionKey, actionText, type ClusterAction } from '../plan/actions.ts';
import { CELL_KINDS, shortKey } from '../plan/objects.ts';
import { ClusterError } from '../ports/cluster.ts';
import { errorFields, type Log } from '../ports/log.ts';
import type { Fence } from '../ports/shards.ts';
import type { Conclusion, ReconcileSignals, Step, Turn } from '../ports/signals.ts';
import { StoreError } from '../ports/store.ts';
import type { Census } from './census.ts';
import type { SpanAttributes, Tracing, TurnTrace } from './tracing.ts';
import type { TurnResult, WorkMetrics } from './work-metrics.ts';

/** Who hears of turns. */
export interface Listeners {
  readonly metrics: WorkMetrics;
  readonly census: Census;
  readonly log: Log;
  /** null: nobody wants traces. */
  readonly tracing: Tracing | null;
}

const DONE = { create: 'created', replace: 'replaced', delete: 'deleted' } as const;

const RESULTS: Readonly<Record<Conclusion['next']['kind'], TurnResult>> = {
  idle: 'success',
  at: 'requeue_after',
  retry: 'requeue',
};

/** Spreads what turns tell of themselves to metrics, traces and the log, under ids that all of them share. */
export class Turns implements ReconcileSignals {
  readonly queue: ReconcileSignals['queue'];
  readonly #listeners: Listeners;
  /** Tells the turns of this process from all others'. */
  readonly #process = randomBytes(4).toString('hex');
  #count = 0;

  constructor(listeners: Listeners) {
    this.queue = listeners.metrics.queue;
    this.#listeners = listeners;
  }

  startTurn(id: JobId): Turn {
    this.#count += 1;
    return new JobTurn(`${this.#process}-${this.#count}`, id, this.#listeners);
  }
}

class JobTurn implements Turn {
  readonly #id: string;
  readonly #jobId: JobId;
  readonly #to: Listeners;
  readonly #trace: TurnTrace | null;
  readonly #startedAt = performance.now();
  #goal: Goal | null = null;
  #writes = 0;
  /** The writes that failed, for the lines that tell of their consequences. */
  readonly #failedActions = new Map<unknown, string>();
  #result: TurnResult = 'success';
  #error: unknown;
  #panicked = false;

  constructor(id: string, jobId: JobId, to: Listeners) {
    this.#id = id;
    this.#jobId = jobId;
    this.#to = to;
    this.#trace = to.tracing?.startTurn({ 'bulkhead.turn': id, 'bulkhead.job.id': jobId }) ?? null;
  }

  get fields(): object {
    return {
      ...(this.#goal && { job: jobName(this.#goal.job), revision: this.#goal.revision }),
      jobId: this.#jobId,
      turn: this.#id,
      ...(this.#trace && { traceId: this.#trace.traceId }),
    };
  }

  loaded(goal: Goal, fence: Fence | null): void {
    this.#goal = goal;
    this.#trace?.describe({
      'bulkhead.job': jobName(goal.job),
      'bulkhead.tenant': goal.job.tenant,
      'bulkhead.revision': goal.revision,
      'bulkhead.shard': shardOf(goal.job.id),
      ...(fence && { 'bulkhead.epoch': formatEpoch(fence.epoch) }),
    });
  }

  step<T>(step: Step, work: () => T): T {
    return this.#trace ? traced(this.#trace, step, work) : work();
  }

  async write<T>(action: ClusterAction, work: () => Promise<T>): Promise<T> {
    const { log, metrics } = this.#to;
    const key = actionKey(action);
    this.#writes += 1;
    const id = `${this.#id}.${this.#writes}`;
    const span = this.#trace?.child(`${action.do} ${key.kind}`, spanOf(id, action));
    const fields = { action: id, namespace: key.namespace || key.name, why: action.why };
    try {
      const stored = await work();
      span?.end();
      metrics.wrote(action.do, key.kind);
      log.info({ ...this.fields, ...fields }, `${DONE[action.do]} ${shortKey(key)}`);
      return stored;
    } catch (error) {
      span?.end(error);
      this.#failedActions.set(error, id);
      const reason = error instanceof ClusterError ? error.kind : 'unexpected';
      metrics.writeFailed(action.do, reason);
      // Whether it matters shows at the end of the turn: a conflict is looked at again at once.
      log.debug({ ...this.fields, ...fields, reason, ...errorFields(error) }, `could not ${actionText(action)}`);
      throw error;
    }
  }

  concluded({ status, next, failure, events, done }: Conclusion): void {
    this.#result = failure ? 'error' : RESULTS[next.kind];
    this.#error = failure ?? undefined;
    this.#to.census.saw(status);
    this.#trace?.describe({ 'bulkhead.phase': status.phase });
    const writes = new Set(done);
    for (const { type, reason } of events.filter((event) => !writes.has(event))) {
      // The message is the tenant's: it may quote what a worker wrote at its end. `bulkhead describe` shows it.
      const fields = { ...this.fields, phase: status.phase, reason, ...(failure && this.#failureFields(failure)) };
      this.#to.log[type === 'Warning' ? 'warn' : 'info'](fields, `the job is ${status.phase}`);
    }
  }

  failed(error: unknown): void {
    this.#result = 'error';
    this.#error = error;
    this.#panicked = !(error instanceof StoreError || error instanceof ClusterError);
  }

  end(): void {
    this.#to.metrics.turned(this.#result, performance.now() - this.#startedAt, this.#panicked);
    this.#trace?.describe({ 'bulkhead.result': this.#result });
    this.#trace?.end(this.#error);
  }

  #failureFields(failure: ClusterError): object {
    const action = this.#failedActions.get(failure);
    return { ...(action !== undefined && { action }), ...errorFields(failure) };
  }
}

/** Where a write goes, in the words of Kubernetes. */
function spanOf(id: string, action: ClusterAction): SpanAttributes {
  const { kind, namespace, name } = actionKey(action);
  return {
    'bulkhead.action.id': id,
    'bulkhead.action.why': action.why,
    'k8s.verb': { create: 'create', replace: 'update', delete: 'delete' }[action.do],
    'k8s.resource': CELL_KINDS[kind].resource,
    'k8s.namespace.name': namespace || name,
    'k8s.object.name': name,
  };
}

function traced<T>(trace: TurnTrace, name: string, work: () => T): T {
  const span = trace.child(name, {});
  try {
    const result = work();
    if (!(result instanceof Promise)) span.end();
    else {
      result.then(
        () => span.end(),
        (error: unknown) => span.end(error),
      );
    }
    return result;
  } catch (error) {
    span.end(error);
    throw error;
  }
}
