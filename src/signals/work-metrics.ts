import { Counter, Histogram, type Registry } from '@prometheus-io/client';
import { CELL_KIND_NAMES } from '../plan/objects.ts';
import type { ClusterErrorKind } from '../ports/cluster.ts';
import type { CallSignals, QueueSignals } from '../ports/signals.ts';

/**
 * Counters and histograms that the work itself feeds. Those that controller-runtime has carry its names, labels and
 * buckets, so that dashboards made for it show Bulkhead too. No label is a job's or a tenant's.
 */

/** How controller-runtime labels one controller and its queue. */
export const CONTROLLER = { controller: 'streamjob' } as const;
export const QUEUE = { name: 'streamjob', controller: 'streamjob' } as const;

export const TURN_RESULTS = ['success', 'error', 'requeue', 'requeue_after'] as const;
export type TurnResult = (typeof TURN_RESULTS)[number];

const RECONCILE_BUCKETS_S = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 1.75,
  2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
];
/** Tenfold from 10 ns, as client-go has it. */
const QUEUE_BUCKETS_S = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1_000];
const CALL_BUCKETS_S = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];

const WRITE_ERROR_REASONS: readonly ClusterErrorKind[] = [
  'conflict',
  'gone',
  'terminating',
  'invalid',
  'forbidden',
  'fenced',
  'unfenced',
  'unauthorized',
  'throttled',
  'unavailable',
];
type WriteVerb = 'create' | 'replace' | 'delete';
const WRITE_VERBS: readonly WriteVerb[] = ['create', 'replace', 'delete'];
/** How client-go writes the code of a call that got no answer. */
const NO_ANSWER = '<error>';

export class WorkMetrics {
  readonly queue: QueueSignals;
  readonly calls: CallSignals;
  readonly #results: Counter<'controller' | 'result'>;
  readonly #errors: Counter<'controller'>;
  readonly #panics: Counter<'controller'>;
  readonly #time: Histogram<'controller'>;
  readonly #writes: Counter<'action' | 'kind'>;
  readonly #writeErrors: Counter<'action' | 'reason'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.queue = queueMetrics(registers);
    this.calls = callMetrics(registers);
    this.#results = new Counter({
      name: 'controller_runtime_reconcile_total',
      help: 'Turns of jobs, by what they came to.',
      labelNames: ['controller', 'result'],
      registers,
    });
    this.#errors = new Counter({
      name: 'controller_runtime_reconcile_errors_total',
      help: 'Turns that failed; each is tried again.',
      labelNames: ['controller'],
      registers,
    });
    this.#panics = new Counter({
      name: 'controller_runtime_reconcile_panics_total',
      help: 'Turns that ended by an error that nobody expected: a bug in Bulkhead.',
      labelNames: ['controller'],
      registers,
    });
    this.#time = new Histogram({
      name: 'controller_runtime_reconcile_time_seconds',
      help: 'How long a turn takes.',
      labelNames: ['controller'],
      buckets: RECONCILE_BUCKETS_S,
      registers,
    });
    this.#writes = new Counter({
      name: 'bulkhead_writes_total',
      help: 'Writes to cells that the API server took.',
      labelNames: ['action', 'kind'],
      registers,
    });
    this.#writeErrors = new Counter({
      name: 'bulkhead_write_errors_total',
      help: 'Writes to cells that failed, by reason.',
      labelNames: ['action', 'reason'],
      registers,
    });
    this.#startAtZero();
  }

  /** @param panicked whether the error was none of those that are expected */
  turned(result: TurnResult, elapsedMs: number, panicked: boolean): void {
    this.#results.inc({ ...CONTROLLER, result });
    this.#time.observe(CONTROLLER, elapsedMs / 1_000);
    if (result === 'error') this.#errors.inc(CONTROLLER);
    if (panicked) this.#panics.inc(CONTROLLER);
  }

  wrote(action: WriteVerb, kind: string): void {
    this.#writes.inc({ action, kind });
  }

  /** @param reason a kind of ClusterError, or `unexpected` */
  writeFailed(action: WriteVerb, reason: string): void {
    this.#writeErrors.inc({ action, reason });
  }

  /** A series that begins with its first event hides that event from rate(). */
  #startAtZero(): void {
    for (const result of TURN_RESULTS) this.#results.inc({ ...CONTROLLER, result }, 0);
    this.#errors.inc(CONTROLLER, 0);
    this.#panics.inc(CONTROLLER, 0);
    this.#time.zero(CONTROLLER);
    for (const action of WRITE_VERBS) {
      for (const kind of CELL_KIND_NAMES) this.#writes.inc({ action, kind }, 0);
      for (const reason of WRITE_ERROR_REASONS) this.#writeErrors.inc({ action, reason }, 0);
    }
  }
}

function queueMetrics(registers: Registry[]): QueueSignals {
  const labelNames = ['name', 'controller'] as const;
  const counter = (name: string, help: string) => new Counter({ name, help, labelNames, registers });
  const histogram = (name: string, help: string) =>
    new Histogram({ name, help, labelNames, buckets: QUEUE_BUCKETS_S, registers });
  const adds = counter('workqueue_adds_total', 'Jobs that became ready for a turn.');
  const retries = counter('workqueue_retries_total', 'Turns that were put off to a later time.');
  const waited = histogram('workqueue_queue_duration_seconds', 'How long a job that is ready waits for its turn.');
  const worked = histogram('workqueue_work_duration_seconds', 'How long a job is worked on.');
  for (const it of [adds, retries]) it.inc(QUEUE, 0);
  for (const it of [waited, worked]) it.zero(QUEUE);
  return {
    added: () => adds.inc(QUEUE),
    delayed: () => retries.inc(QUEUE),
    taken: (waitedMs) => waited.observe(QUEUE, waitedMs / 1_000),
    done: (workedMs) => worked.observe(QUEUE, workedMs / 1_000),
  };
}

function callMetrics(registers: Registry[]): CallSignals {
  const requests = new Counter({
    name: 'rest_client_requests_total',
    help: 'Calls to the API server, by status code, method and host.',
    labelNames: ['code', 'method', 'host'],
    registers,
  });
  const duration = new Histogram({
    name: 'rest_client_request_duration_seconds',
    help: 'Time until the API server begins to answer.',
    labelNames: ['verb', 'host'],
    buckets: CALL_BUCKETS_S,
    registers,
  });
  return {
    answered(method, host, code, elapsedMs) {
      requests.inc({ code: code === null ? NO_ANSWER : String(code), method, host });
      duration.observe({ verb: method, host }, elapsedMs / 1_000);
    },
  };
}
