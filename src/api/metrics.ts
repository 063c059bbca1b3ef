import { collectDefaultMetrics, Gauge, type Registry } from '@prometheus-io/client';
import packageJson from '../../package.json' with { type: 'json' };
import type { Phase } from '../job/status.ts';
import type { Withheld } from '../plan/status.ts';
import type { JobCounts } from '../signals/census.ts';
import { CONTROLLER, QUEUE } from '../signals/work-metrics.ts';

/** What can be read of a running operator at any time, without asking anybody. */
export interface OperatorReadings {
  /** How far open transactions hold the cursor over goals back. */
  readonly cursorLagMs: number;
  /** Shards that are this replica's by the store. */
  readonly shardsOwned: number;
  /** Shards that it acts for: owned, connected to the cluster, and the fence raised. */
  readonly shardsActive: number;
  /** Why a person has to do something before all of its shards can be acted for; null when nobody has to. */
  readonly withheld: Withheld['reason'] | null;
  readonly storeUp: boolean;
  readonly clusterUp: boolean;
  readonly ready: boolean;
  /** Jobs that wait for a turn. */
  readonly queueDepth: number;
  /** How long each turn in hand has been going on. */
  readonly workingMs: readonly number[];
  readonly maxTurns: number;
  /** Writes to the API server: how many may be under way at once, how many are, and how many wait for that. */
  readonly writes: { readonly limit: number; readonly inFlight: number; readonly waiting: number };
  /** Jobs of the shards that it acts for. */
  readonly jobs: JobCounts;
}

export interface Metrics {
  readonly contentType: string;
  /** In the text format of Prometheus. */
  text(): Promise<string>;
}

const PHASES: readonly Phase[] = ['Pending', 'Progressing', 'Running', 'Degraded', 'Suspended', 'Waiting', 'Deleting'];
/** A reason that an alert asks for: there also while no job has it. */
const ALERTED_REASON = 'Braked';
const WITHHELD_REASONS: readonly Withheld['reason'][] = ['StoreBehind', 'ClusterChanged', 'FenceMissing'];

type Refresh = (readings: OperatorReadings) => void;

function operatorGauges(registers: Registry[]): Refresh[] {
  const gauge = (name: string, help: string, value: (readings: OperatorReadings) => number): Refresh => {
    const it = new Gauge({ name: `bulkhead_${name}`, help, registers });
    return (readings) => it.set(value(readings));
  };
  return [
    gauge(
      'goal_cursor_lag_seconds',
      'How far open transactions hold the cursor over goals back.',
      (it) => it.cursorLagMs / 1000,
    ),
    gauge('shards_owned', 'Shards that are this replica’s by the store.', (it) => it.shardsOwned),
    gauge('shards_active', 'Shards that this replica acts for.', (it) => it.shardsActive),
    gauge('store_up', '1 while the goal store answers.', (it) => Number(it.storeUp)),
    gauge('cluster_up', '1 while the cluster is connected and listed.', (it) => Number(it.clusterUp)),
    gauge('writes_limit', 'Writes that may be under way at once, as found out.', (it) => it.writes.limit),
    gauge('writes_in_flight', 'Writes that are under way.', (it) => it.writes.inFlight),
    gauge('writes_waiting', 'Writes that wait for their turn.', (it) => it.writes.waiting),
    gauge('ready', '1 while /readyz says so.', (it) => Number(it.ready)),
  ];
}

function withheldGauge(registers: Registry[]): Refresh {
  const it = new Gauge({
    name: 'bulkhead_withheld',
    help: '1 while nothing is written for shards of this replica until a person has done something, by reason.',
    labelNames: ['reason'],
    registers,
  });
  return ({ withheld }) => {
    for (const reason of WITHHELD_REASONS) it.set({ reason }, Number(reason === withheld));
  };
}

/** Those gauges of controller-runtime and client-go that are read, not counted. */
function queueGauges(registers: Registry[]): Refresh[] {
  const sum = (all: readonly number[]) => all.reduce((total, each) => total + each, 0);
  const gauge = (
    labels: Readonly<Record<string, string>>,
    name: string,
    help: string,
    value: (readings: OperatorReadings) => number,
  ): Refresh => {
    const it = new Gauge({ name, help, labelNames: Object.keys(labels), registers });
    return (readings) => it.set(labels, value(readings));
  };
  return [
    gauge(
      CONTROLLER,
      'controller_runtime_max_concurrent_reconciles',
      'Turns at the same time, at most.',
      (it) => it.maxTurns,
    ),
    gauge(CONTROLLER, 'controller_runtime_active_workers', 'Turns in hand.', (it) => it.workingMs.length),
    gauge(QUEUE, 'workqueue_depth', 'Jobs that are ready and wait for a turn.', (it) => it.queueDepth),
    gauge(
      QUEUE,
      'workqueue_unfinished_work_seconds',
      'How long the turns in hand have taken so far, all together.',
      (it) => sum(it.workingMs) / 1000,
    ),
    gauge(
      QUEUE,
      'workqueue_longest_running_processor_seconds',
      'How long the oldest turn in hand has taken so far.',
      (it) => Math.max(0, ...it.workingMs) / 1000,
    ),
  ];
}

function jobGauges(registers: Registry[]): Refresh {
  const phases = new Gauge({
    name: 'bulkhead_jobs',
    help: 'Jobs of the shards that this replica acts for, by phase.',
    labelNames: ['phase'],
    registers,
  });
  const reasons = new Gauge({
    name: 'bulkhead_jobs_not_ready',
    help: 'Those of them that are not Ready, by reason.',
    labelNames: ['reason'],
    registers,
  });
  const known = new Set([ALERTED_REASON]);
  return ({ jobs }) => {
    for (const phase of PHASES) phases.set({ phase }, jobs.byPhase.get(phase) ?? 0);
    // A reason that was there once goes back to 0 instead of vanishing.
    for (const reason of jobs.notReady.keys()) known.add(reason);
    for (const reason of known) reasons.set({ reason }, jobs.notReady.get(reason) ?? 0);
  };
}

/**
 * How often the library looks at the event loop. At its defaults, 100 and 10 times a second, that is half of all that an
 * operator at rest does (`npm run bench -- idle`).
 */
const EVENT_LOOP_SAMPLING = { eventLoopMonitoringPrecision: 100, eventLoopUtilizationTimeout: 1_000 };

/**
 * The metrics of one operator: those that its work feeds, and those that are read anew at each scrape.
 * @param registry where the former are
 */
export function operatorMetrics(registry: Registry, read: () => OperatorReadings): Metrics {
  const registers = [registry];
  const refreshes = [
    ...operatorGauges(registers),
    ...queueGauges(registers),
    jobGauges(registers),
    withheldGauge(registers),
  ];
  new Gauge({
    name: 'bulkhead_build_info',
    help: 'Always 1; the labels say what runs.',
    labelNames: ['version', 'node_version'],
    registers,
  }).set({ version: packageJson.version, node_version: process.version }, 1);
  collectDefaultMetrics({ register: registry, ...EVENT_LOOP_SAMPLING });
  return {
    contentType: registry.contentType,
    text: () => {
      const readings = read();
      for (const refresh of refreshes) refresh(readings);
      return registry.metrics();
    },
  };
}
