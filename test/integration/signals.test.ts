import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { JobId } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import { startTracing, type Tracing } from '../../src/signals/tracing.ts';
import { type ControlPlaneCluster, up } from '../cluster/index.ts';
import { type Collector, collector } from '../support/collector.ts';
import { MemoryLog } from '../support/log.ts';
import { type Samples, samplesOf, sumOf } from '../support/metrics.ts';
import { applyJob, type RunningOperator, startOperator, untilPhase } from '../support/operator.ts';
import { type TestDatabase, testDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';

/** What an operator tells of itself, on a real Postgres and a real API server. */

const SPEC: JobSpec = {
  container: { image: 'app:1', ports: [{ name: 'http', port: 8080 }] },
  workers: { replicas: 2 },
};
const TRACES_VARIABLE = 'OTEL_EXPORTER_OTLP_ENDPOINT';

let cluster: ControlPlaneCluster;
let database: TestDatabase;
let traces: Collector;
let tracing: Tracing | null;
let operator: RunningOperator;
let job: JobId;

before(async () => {
  cluster = await up('control-plane', { name: 'signals', fsync: false, fresh: true });
  database = await testDatabase();
  traces = await collector();
  // The exporter reads its endpoint from the process's own variables.
  process.env[TRACES_VARIABLE] = traces.url;
  tracing = await startTracing(process.env, new MemoryLog());
  operator = startOperator(database.store, {
    kubeconfig: cluster.kubeconfigPath,
    health: { host: '127.0.0.1', port: 0 },
    tracing,
  });
  await until('it is ready', 60_000, async () => (await get('/readyz'))?.status === 200);
  job = await applyJob(database.store, 'clicks', SPEC);
  await untilPhase(database.store, job, 'Running', 60_000);
});

after(async () => {
  delete process.env[TRACES_VARIABLE];
  await operator.stop();
  await tracing?.stop();
  await traces[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await cluster.down();
});

/** null while nothing is served yet. */
async function get(path: string): Promise<{ status: number; text: string } | null> {
  const line = operator.log.lines.find(({ message }) => message === 'health is served');
  if (!line) return null;
  const { url } = line.fields as { url: string };
  const response = await fetch(url + path);
  return { status: response.status, text: await response.text() };
}

const scrape = async (): Promise<Samples> => samplesOf((await get('/metrics'))?.text ?? '');

/** The lines of writes of the job, as the log has them. */
const writes = () =>
  operator.log.lines.flatMap(({ fields, message }) => {
    const { jobId, action } = fields as { jobId?: string; action?: string };
    return jobId === job && action !== undefined && message.startsWith('created ') ? [{ action, message, fields }] : [];
  });

test('after one job, the metrics tell of its turns, its writes, the calls they took, and of the job itself', async () => {
  const samples = await scrape();
  const made = writes().length;
  assert.ok(made >= 7, `a cell is more than ${made} objects`);
  assert.equal(sumOf(samples, 'bulkhead_writes_total', { action: 'create' }), made);
  assert.equal(sumOf(samples, 'bulkhead_writes_total', { action: 'create', kind: 'Deployment' }), 1);
  assert.equal(sumOf(samples, 'bulkhead_writes_total', { action: 'delete' }), 0);
  assert.ok(sumOf(samples, 'rest_client_requests_total', { method: 'POST', code: '201' }) >= made);
  assert.equal(
    sumOf(samples, 'rest_client_requests_total'),
    sumOf(samples, 'rest_client_request_duration_seconds_count'),
  );
  assert.ok(sumOf(samples, 'controller_runtime_reconcile_total', { result: 'success' }) >= 1);
  assert.equal(
    sumOf(samples, 'controller_runtime_reconcile_total'),
    sumOf(samples, 'controller_runtime_reconcile_time_seconds_count'),
  );
  assert.equal(sumOf(samples, 'controller_runtime_reconcile_panics_total'), 0);
  assert.ok(sumOf(samples, 'workqueue_adds_total') >= 1);
  assert.equal(sumOf(samples, 'bulkhead_jobs', { phase: 'Running' }), 1);
  assert.equal(sumOf(samples, 'bulkhead_jobs'), 1);
  assert.equal(sumOf(samples, 'bulkhead_ready'), 1);
  assert.equal(sumOf(samples, 'bulkhead_shards_active'), 256);
  assert.ok(sumOf(samples, 'process_resident_memory_bytes') > 0);
});

test('no label names a job or a tenant, so that the number of series does not grow with them', async () => {
  const text = (await get('/metrics'))?.text ?? '';
  for (const word of [job, 'clicks', '"ads"']) assert.ok(!text.includes(word), `${word} is in no label`);
});

test('readiness check by check', async () => {
  const verbose = (await get('/readyz?verbose'))?.text ?? '';
  assert.match(verbose, /^(\[\+\]\w+ ok\n)+(\[i\].*\n)*readyz check passed\n$/);
  for (const name of ['store', 'cluster', 'shards']) assert.ok(verbose.includes(`[+]${name} ok`), verbose);
});

test('the turn that made the cell is one trace, from loading the goal to the last write, under the ids of the log', async () => {
  const made = writes();
  const first = made[0];
  assert.ok(first);
  const { traceId } = first.fields as { traceId: string };
  const isWhole = () => traces.spans.some(({ name, traceId: its }) => its === traceId && name === 'reconcile');
  await until('the trace has come', 20_000, isWhole);
  const spans = traces.spans.filter((span) => span.traceId === traceId);
  const root = spans.find(({ name }) => name === 'reconcile');
  assert.ok(root);
  assert.equal(root.parentSpanId, '');
  assert.equal(root.attributes['bulkhead.job'], 'ads/clicks');
  assert.equal(root.attributes['bulkhead.job.id'], job);
  assert.equal(root.attributes['bulkhead.revision'], 1);
  assert.equal(traces.resource['service.name'], 'bulkhead');
  const children = spans.filter((span) => span !== root).sort((a, b) => Number(a.startNs - b.startNs));
  assert.ok(children.every(({ parentSpanId }) => parentSpanId === root.spanId));
  assert.ok(children.every(({ startNs, endNs }) => startNs >= root.startNs && endNs <= root.endNs));
  const names = children.map(({ name }) => name);
  assert.equal(names[0], 'load');
  const lastWrite = names.findLastIndex((name) => name.startsWith('create '));
  assert.ok(names.indexOf('plan') < names.indexOf('create Namespace'), 'planned before it writes');
  assert.ok(lastWrite < names.indexOf('record'), 'recorded after its last write');
  const actions = children.flatMap(({ attributes }) => attributes['bulkhead.action.id'] ?? []);
  const logged = made.filter(({ fields }) => (fields as { traceId: string }).traceId === traceId);
  assert.deepEqual(
    actions,
    logged.map(({ action }) => action),
  );
  assert.ok(actions.length >= 7);
});
