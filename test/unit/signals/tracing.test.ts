import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QuietExporter } from '../../../src/signals/otlp.ts';
import { startTracing } from '../../../src/signals/tracing.ts';
import { collector } from '../../support/collector.ts';
import { MemoryLog } from '../../support/log.ts';

test('without an endpoint, or when switched off, there are no traces', async () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };
  for (const env of [
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' },
    { ...endpoint, OTEL_SDK_DISABLED: 'true' },
    { ...endpoint, OTEL_TRACES_EXPORTER: 'none' },
  ]) {
    assert.equal(await startTracing(env, new MemoryLog()), null);
  }
});

test('where traces go is said without the password that may be in it', async () => {
  const log = new MemoryLog();
  const env = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://me:canary@127.0.0.1:4318/v1/traces?key=canary' };
  const tracing = await startTracing(env, log);
  await tracing?.stop();
  assert.deepEqual(log.lines[0]?.fields, { endpoint: 'http://127.0.0.1:4318/v1/traces' });
});

test('a collector that cannot be reached is said once, its return once, and the work hears nothing of it', () => {
  const log = new MemoryLog();
  let fails = true;
  const results: number[] = [];
  const exporter = new QuietExporter(
    {
      export: (_spans, done) => done(fails ? { code: 1, error: new Error('ECONNREFUSED') } : { code: 0 }),
      shutdown: async () => undefined,
    },
    log,
  );
  const send = () => exporter.export([], ({ code }) => results.push(code));
  send();
  send();
  fails = false;
  send();
  send();
  assert.deepEqual(
    log.lines.map(({ level, message }) => [level, message]),
    [
      ['warn', 'traces cannot be sent; they are dropped until they can'],
      ['info', 'traces are sent again'],
    ],
  );
  assert.deepEqual(results, [0, 0, 0, 0]);
});

test('a step lies within its turn to the last microsecond, since both are read from one clock', async () => {
  await using traces = await collector();
  // The exporter reads its endpoint from the process's own variables.
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = traces.url;
  const tracing = await startTracing(process.env, new MemoryLog()).finally(() => {
    delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
  });
  assert.ok(tracing);
  // Each begins at another fraction of a millisecond, and so does its step.
  for (let turn = 0; turn < 100; turn += 1) {
    const root = tracing.startTurn({ turn });
    spinFor(0.37);
    root.child('load', {}).end();
    root.end();
  }
  await tracing.stop();
  const roots = new Map(traces.spans.filter(({ name }) => name === 'reconcile').map((span) => [span.spanId, span]));
  const steps = traces.spans.filter(({ name }) => name === 'load');
  assert.deepEqual([roots.size, steps.length], [100, 100]);
  const outside = steps.filter(({ parentSpanId, startNs, endNs }) => {
    const root = roots.get(parentSpanId);
    return !root || startNs < root.startNs || endNs < startNs || root.endNs < endNs;
  });
  assert.deepEqual(outside, []);
});

function spinFor(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
