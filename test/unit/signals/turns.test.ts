import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterId, type JobId, revision, shardOf } from '../../../src/job/ids.ts';
import { FakeCluster } from '../../../src/ports/cluster.fake.ts';
import { ClusterError } from '../../../src/ports/cluster.ts';
import { FakeStore } from '../../../src/ports/store.fake.ts';
import { StoreError } from '../../../src/ports/store.ts';
import { Controller } from '../../../src/reconcile/controller.ts';
import { Signals } from '../../../src/signals/signals.ts';
import type { SpanAttributes, Tracing, TurnTrace } from '../../../src/signals/tracing.ts';
import { renderGoal, runningCell } from '../../support/cells.ts';
import { FENCE_A, goalOf, JOB_A, STORE, tombstoneOf } from '../../support/goals.ts';
import { MemoryLog } from '../../support/log.ts';
import { samplesOf, sumOf } from '../../support/metrics.ts';
import { until } from '../../support/until.ts';

const SHARD = shardOf(JOB_A);
const goal = goalOf();
const OBJECTS = renderGoal(goal).length;

interface Span {
  readonly name: string;
  attributes: SpanAttributes;
  error: unknown;
  ended: boolean;
}

/** Traces that stay here. */
class MemoryTracing implements Tracing {
  readonly turns: Span[][] = [];

  startTurn(attributes: SpanAttributes): TurnTrace {
    const open = (name: string, given: SpanAttributes) => {
      const span: Span = { name, attributes: given, error: undefined, ended: false };
      spans.push(span);
      return span;
    };
    const finish = (span: Span) => (error?: unknown) => {
      span.error = error;
      span.ended = true;
    };
    const spans: Span[] = [];
    this.turns.push(spans);
    const root = open('reconcile', attributes);
    return {
      traceId: `trace-${this.turns.length}`,
      describe: (more) => {
        root.attributes = { ...root.attributes, ...more };
      },
      child: (name, given) => ({ end: finish(open(name, given)) }),
      end: finish(root),
    };
  }

  async stop(): Promise<void> {
    this.turns.length = 0;
  }
}

function controllerOn(store: FakeStore, cell: FakeCluster) {
  const log = new MemoryLog();
  const tracing = new MemoryTracing();
  const signals = new Signals({ log, tracing });
  const nothing = () => undefined;
  const load = async (id: JobId) => {
    const [found] = await store.goals([id]);
    return found ? { goal: found, previous: store.statusesById.get(id) ?? null } : null;
  };
  const controller = new Controller({
    storeId: STORE,
    feed: { load },
    store,
    log,
    signals: signals.reconcile,
    fence: (shard) => ({ ...FENCE_A, shard }),
    onFenced: nothing,
    onRefused: nothing,
    onStoreTrouble: nothing,
    onUnauthorized: nothing,
  });
  const cluster = { clusterId: clusterId('00000000-0000-4000-8000-0000000000cc'), cell, jobsSeen: () => [] };
  const scrape = async () => samplesOf(await signals.registry.metrics());
  /** Lets the controller have one turn. */
  const turn = async () => {
    const before = tracing.turns.length;
    if (controller.shards.size === 0) await controller.activate(cluster, [SHARD]);
    else controller.wake(JOB_A);
    await until('the turn is over', 2_000, () => tracing.turns[before]?.[0]?.ended === true);
    return tracing.turns[before] ?? [];
  };
  return { controller, log, signals, scrape, turn };
}

const results = (samples: ReadonlyMap<string, number>) =>
  Object.fromEntries(
    ['success', 'error', 'requeue', 'requeue_after'].map((result) => [
      result,
      sumOf(samples, 'controller_runtime_reconcile_total', { result }),
    ]),
  );

test('one turn is one trace from loading the goal to the last write and its record, each write under an id', async () => {
  const it = controllerOn(new FakeStore(STORE, [goal]), new FakeCluster());
  const [root, ...children] = await it.turn();
  const names = children.map(({ name }) => name);
  assert.equal(names[0], 'load');
  assert.equal(names.at(-1), 'record');
  assert.equal(names.filter((name) => name.startsWith('create ')).length, OBJECTS);
  assert.ok(names.indexOf('plan') < names.indexOf('create Namespace'));
  assert.ok(children.every(({ ended, error }) => ended && error === undefined));
  assert.equal(root?.attributes['bulkhead.job'], 'ads/clicks');
  assert.equal(root?.attributes['bulkhead.revision'], 1);
  assert.equal(root?.attributes['bulkhead.epoch'], '7000000000000000001/1/1');
  assert.equal(root?.attributes['bulkhead.result'], 'success');
  const ids = children.flatMap(({ attributes }) => attributes['bulkhead.action.id'] ?? []);
  assert.equal(new Set(ids).size, OBJECTS);
  assert.ok(ids.every((id) => String(id).startsWith(`${root?.attributes['bulkhead.turn']}.`)));
});

test('each write is one line with job, revision and the ids of turn and action; a turn that writes nothing says nothing', async () => {
  const it = controllerOn(new FakeStore(STORE, [goal]), new FakeCluster());
  const spans = await it.turn();
  const lines = it.log.lines.filter(({ message }) => message.startsWith('created '));
  assert.equal(lines.length, OBJECTS);
  const deployment = lines.find(({ message }) => message === 'created Deployment clicks');
  assert.equal(deployment?.level, 'info');
  const span = spans.find(({ name }) => name === 'create Deployment');
  const { action, turn, traceId, job, jobId, why, ...rest } = { ...deployment?.fields } as Record<string, unknown>;
  assert.equal(action, span?.attributes['bulkhead.action.id'], 'the line and the span name the same action');
  assert.equal(turn, spans[0]?.attributes['bulkhead.turn']);
  assert.deepEqual([job, jobId, rest.revision, traceId], ['ads/clicks', JOB_A, revision(1), 'trace-1']);
  assert.match(String(why), /revision 1 needs it/);
  const said = it.log.lines.length;
  await it.turn();
  assert.equal(it.log.lines.length, said);
});

test('turns are counted by what they came to', async () => {
  const cell = new FakeCluster();
  const it = controllerOn(new FakeStore(STORE, [goal]), cell);
  const [namespace] = renderGoal(goal);
  assert.ok(namespace);
  cell.put({ ...namespace, metadata: { ...namespace.metadata, labels: { theirs: 'yes' } } });
  await it.turn();
  assert.deepEqual(results(await it.scrape()), { success: 0, error: 0, requeue: 0, requeue_after: 1 });
  cell.objects.clear();
  await it.turn();
  const samples = await it.scrape();
  assert.deepEqual(results(samples), { success: 1, error: 0, requeue: 0, requeue_after: 1 });
  assert.equal(sumOf(samples, 'controller_runtime_reconcile_time_seconds_count'), 2);
  assert.equal(sumOf(samples, 'bulkhead_writes_total', { action: 'create' }), OBJECTS);
  assert.equal(sumOf(samples, 'workqueue_adds_total'), 2);
  assert.equal(sumOf(samples, 'workqueue_work_duration_seconds_count'), 2);
});

test('a write that the cluster refuses is an error of the turn, a warning that names the action, and no panic', async () => {
  const cell = new FakeCluster();
  cell.failNext(new ClusterError('invalid', 'Namespace: 422 no'));
  const it = controllerOn(new FakeStore(STORE, [goal]), cell);
  const spans = await it.turn();
  const samples = await it.scrape();
  assert.equal(results(samples).error, 1);
  assert.equal(sumOf(samples, 'controller_runtime_reconcile_errors_total'), 1);
  assert.equal(sumOf(samples, 'controller_runtime_reconcile_panics_total'), 0);
  assert.equal(sumOf(samples, 'bulkhead_write_errors_total', { action: 'create', reason: 'invalid' }), 1);
  const line = it.log.lines.find(({ level }) => level === 'warn');
  const fields = { ...line?.fields } as Record<string, unknown>;
  assert.deepEqual([fields.reason, fields.error], ['ObjectRefused', 'Namespace: 422 no']);
  const failed = spans.find(({ name }) => name === 'create Namespace');
  assert.equal(fields.action, failed?.attributes['bulkhead.action.id']);
  assert.ok(failed?.error instanceof ClusterError && spans[0]?.error instanceof ClusterError);
  it.controller.deactivate();
});

test('a store that does not answer is an error and no panic; an error that nobody expects is both', async () => {
  for (const [error, panics] of [
    [new StoreError('unavailable', 'no answer'), 0],
    [new TypeError('a bug'), 1],
  ] as const) {
    const store = new FakeStore(STORE, [goal]);
    store.record = async () => {
      throw error;
    };
    const it = controllerOn(store, new FakeCluster());
    const spans = await it.turn();
    const samples = await it.scrape();
    assert.equal(results(samples).error, 1);
    assert.equal(sumOf(samples, 'controller_runtime_reconcile_panics_total'), panics);
    assert.equal(spans.find(({ name }) => name === 'record')?.error, error);
    it.controller.deactivate();
  }
});

test('jobs are counted by what their last turn came to, of the shards that are acted for', async () => {
  const store = new FakeStore(STORE, [goal]);
  const it = controllerOn(store, runningCell(goal));
  await it.turn();
  const count = () => it.signals.census.counts(it.controller.shards);
  assert.deepEqual([...count().byPhase], [['Running', 1]]);
  assert.deepEqual([...count().notReady], []);
  it.controller.deactivate();
  assert.deepEqual([...count().byPhase], []);
});

test('a job that is gone is counted no more', async () => {
  const it = controllerOn(new FakeStore(STORE, [tombstoneOf(goal)]), new FakeCluster());
  await it.turn();
  assert.deepEqual([...it.signals.census.counts(it.controller.shards).byPhase], []);
  assert.deepEqual(
    it.log.lines.map(({ message }) => message),
    ['the job is Gone'],
  );
});
