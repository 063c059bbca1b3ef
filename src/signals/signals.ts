import { Registry } from '@prometheus-io/client';
import type { Log } from '../ports/log.ts';
import type { CallSignals, ReconcileSignals } from '../ports/signals.ts';
import { Census } from './census.ts';
import type { Tracing } from './tracing.ts';
import { Turns } from './turns.ts';
import { WorkMetrics } from './work-metrics.ts';

/** Everything that one operator tells of its work; the composition root hands the parts to those who do it. */
export class Signals {
  readonly registry = new Registry();
  readonly census = new Census();
  readonly reconcile: ReconcileSignals;
  readonly calls: CallSignals;

  constructor(options: { readonly log: Log; readonly tracing: Tracing | null }) {
    const metrics = new WorkMetrics(this.registry);
    this.reconcile = new Turns({ ...options, metrics, census: this.census });
    this.calls = metrics.calls;
  }
}
