import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { type OperatorReadings, operatorMetrics } from '../../../src/api/metrics.ts';
import { Signals } from '../../../src/signals/signals.ts';
import { MemoryLog } from '../../support/log.ts';
import { samplesOf } from '../../support/metrics.ts';

const READINGS: OperatorReadings = {
  cursorLagMs: 1_500,
  shardsOwned: 256,
  shardsActive: 128,
  withheld: 'StoreBehind',
  storeUp: true,
  clusterUp: false,
  ready: false,
  queueDepth: 3,
  workingMs: [250, 1_000],
  maxTurns: 16,
  writes: { limit: 24, inFlight: 7, waiting: 3 },
  jobs: { byPhase: new Map([['Running', 7]]), notReady: new Map([['Crashing', 2]]) },
};

/** What dashboards and alerts made for controller-runtime and client-go ask for. */
const KNOWN: readonly (readonly [name: string, type: string, labels: string])[] = [
  ['controller_runtime_reconcile_total', 'counter', 'controller,result'],
  ['controller_runtime_reconcile_errors_total', 'counter', 'controller'],
  ['controller_runtime_reconcile_panics_total', 'counter', 'controller'],
  ['controller_runtime_reconcile_time_seconds', 'histogram', 'controller'],
  ['controller_runtime_max_concurrent_reconciles', 'gauge', 'controller'],
  ['controller_runtime_active_workers', 'gauge', 'controller'],
  ['workqueue_depth', 'gauge', 'controller,name'],
  ['workqueue_adds_total', 'counter', 'controller,name'],
  ['workqueue_retries_total', 'counter', 'controller,name'],
  ['workqueue_queue_duration_seconds', 'histogram', 'controller,name'],
  ['workqueue_work_duration_seconds', 'histogram', 'controller,name'],
  ['workqueue_unfinished_work_seconds', 'gauge', 'controller,name'],
  ['workqueue_longest_running_processor_seconds', 'gauge', 'controller,name'],
  ['rest_client_requests_total', 'counter', 'code,host,method'],
  ['rest_client_request_duration_seconds', 'histogram', 'host,verb'],
  ['process_cpu_seconds_total', 'counter', ''],
  ['process_resident_memory_bytes', 'gauge', ''],
  ['process_start_time_seconds', 'gauge', ''],
];

function metricsOf(readings: OperatorReadings = READINGS) {
  const signals = new Signals({ log: new MemoryLog(), tracing: null });
  return { signals, metrics: operatorMetrics(signals.registry, () => readings) };
}

const labelNames = (sample: string): string =>
  [...sample.matchAll(/([a-z_]+)="/g)]
    .flatMap(([, label]) => (label && label !== 'le' ? label : []))
    .sort()
    .join(',');

test('metrics that controller-runtime has carry its names, types and labels, so that its dashboards show Bulkhead', async () => {
  const { signals, metrics } = metricsOf();
  signals.calls.answered('GET', '127.0.0.1:6443', 200, 12);
  const text = await metrics.text();
  const samples = [...samplesOf(text).keys()];
  for (const [name, type, labels] of KNOWN) {
    assert.ok(text.includes(`# TYPE ${name} ${type}\n`), `${name} is a ${type}`);
    const own = samples.filter((key) => key.replace(/_(bucket|sum|count)(?=\{|$)/, '').split('{')[0] === name);
    assert.ok(own.length > 0, `${name} is there from the start`);
    for (const sample of own) assert.equal(labelNames(sample), labels, sample);
  }
});

test('what is counted starts at 0, so that the first event is an increase', async () => {
  const samples = samplesOf(await metricsOf().metrics.text());
  for (const result of ['success', 'error', 'requeue', 'requeue_after']) {
    assert.equal(samples.get(`controller_runtime_reconcile_total{controller="streamjob",result="${result}"}`), 0);
  }
  assert.equal(samples.get('bulkhead_writes_total{action="create",kind="Deployment"}'), 0);
  assert.equal(samples.get('bulkhead_write_errors_total{action="delete",reason="fenced"}'), 0);
  assert.equal(samples.get('bulkhead_jobs_not_ready{reason="Braked"}'), 0);
});

test('what is read is read at the scrape', async () => {
  const samples = samplesOf(await metricsOf().metrics.text());
  const queue = '{name="streamjob",controller="streamjob"}';
  assert.equal(samples.get(`workqueue_depth${queue}`), 3);
  assert.equal(samples.get(`workqueue_unfinished_work_seconds${queue}`), 1.25);
  assert.equal(samples.get(`workqueue_longest_running_processor_seconds${queue}`), 1);
  assert.equal(samples.get('controller_runtime_active_workers{controller="streamjob"}'), 2);
  assert.equal(samples.get('controller_runtime_max_concurrent_reconciles{controller="streamjob"}'), 16);
  assert.equal(samples.get('bulkhead_goal_cursor_lag_seconds'), 1.5);
  assert.equal(samples.get('bulkhead_store_up'), 1);
  assert.equal(samples.get('bulkhead_cluster_up'), 0);
  assert.equal(samples.get('bulkhead_ready'), 0);
  assert.equal(samples.get('bulkhead_withheld{reason="StoreBehind"}'), 1);
  assert.equal(samples.get('bulkhead_withheld{reason="FenceMissing"}'), 0);
  assert.equal(samples.get('bulkhead_jobs{phase="Running"}'), 7);
  assert.equal(samples.get('bulkhead_jobs{phase="Waiting"}'), 0);
  assert.equal(samples.get('bulkhead_jobs_not_ready{reason="Crashing"}'), 2);
});

test('a reason that no job has any more goes back to 0, since a series that vanishes resolves no alert', async () => {
  let readings = READINGS;
  const signals = new Signals({ log: new MemoryLog(), tracing: null });
  const metrics = operatorMetrics(signals.registry, () => readings);
  await metrics.text();
  readings = { ...READINGS, jobs: { byPhase: new Map(), notReady: new Map() } };
  const samples = samplesOf(await metrics.text());
  assert.equal(samples.get('bulkhead_jobs_not_ready{reason="Crashing"}'), 0);
  assert.equal(samples.get('bulkhead_jobs{phase="Running"}'), 0);
});

test('a call without an answer counts as client-go counts it', async () => {
  const { signals, metrics } = metricsOf();
  signals.calls.answered('PUT', 'api:6443', null, 10_000);
  const samples = samplesOf(await metrics.text());
  assert.equal(samples.get('rest_client_requests_total{code="<error>",method="PUT",host="api:6443"}'), 1);
});

test('docs/metrics.md lists every metric of ours with its type and labels, and no other', async () => {
  const { signals, metrics } = metricsOf();
  signals.calls.answered('GET', '127.0.0.1:6443', 200, 12);
  await metrics.text();
  const all = await signals.registry.getMetricsAsJSON();
  const ours = all.filter(({ name }) => /^(bulkhead|controller_runtime|workqueue|rest_client)_/.test(name));
  const labelsOf = (metric: (typeof all)[number]) =>
    Object.keys(metric.values[0]?.labels ?? {}).filter((label) => label !== 'le');
  const text = await readFile(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| `(\w+)` \| (\w+) \| (.*?) ?\| /gm)].filter(([, , type]) => type !== undefined);
  assert.deepEqual(
    rows.map(([, name, type, labels = '']) => [name, type, labels.replaceAll('`', '')].join(' ')).sort(),
    ours.map((metric) => [metric.name, metric.type, labelsOf(metric).join(', ')].join(' ')).sort(),
  );
});
