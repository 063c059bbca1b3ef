import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WriteGate } from '../../../src/cluster/write-gate.ts';
import { LIMIT, type Ticket } from '../../../src/cluster/write-limit.ts';
import { ClusterError } from '../../../src/ports/cluster.ts';

const NEVER = undefined;

function full(gate: WriteGate): Ticket[] {
  return Array.from({ length: LIMIT.initial }, () => {
    const ticket = gate.enterNow(false);
    assert.ok(ticket);
    return ticket;
  });
}

test('writes wait in the order of their arrival, one for each that ends, and nobody passes them but what is urgent', async () => {
  const gate = new WriteGate();
  const inside = full(gate);
  const order: number[] = [];
  const waiting = [1, 2, 3].map(async (n) => {
    await gate.enter('w', 5_000, NEVER);
    order.push(n);
  });
  assert.deepEqual(gate.load, { limit: LIMIT.initial, inFlight: LIMIT.initial, waiting: 3 });
  assert.equal(gate.enterNow(false), null);
  const urgent = gate.enterNow(true);
  assert.ok(urgent);
  gate.leave(urgent, 'done');
  for (const ticket of inside.slice(0, 2)) gate.leave(ticket, 'done');
  await Promise.all(waiting.slice(0, 2));
  assert.deepEqual(order, [1, 2]);
  const [last] = inside.slice(-1);
  assert.ok(last);
  gate.leave(last, 'refused');
  await waiting[2];
  assert.deepEqual(order, [1, 2, 3]);
});

test('who waits in vain is told that nothing was sent, and the next in line is not held up', async () => {
  const gate = new WriteGate();
  const inside = full(gate);
  const vain = gate.enter('POST /x', 30, NEVER);
  const patient = gate.enter('POST /y', 5_000, NEVER);
  const error = await vain.catch((reason: unknown) => reason);
  assert.ok(error instanceof ClusterError);
  assert.equal(error.kind, 'throttled');
  assert.match(error.message, /^POST \/x: not sent: /);
  const [first] = inside;
  assert.ok(first);
  gate.leave(first, 'done');
  await patient;
  assert.equal(gate.load.waiting, 0);
});

test('who is aborted leaves the line', async () => {
  const gate = new WriteGate();
  full(gate);
  const abort = new AbortController();
  const waiting = gate.enter('w', 5_000, abort.signal);
  abort.abort(new Error('never mind'));
  await assert.rejects(waiting, /never mind/);
  assert.equal(gate.load.waiting, 0);
  await assert.rejects(gate.enter('w', 5_000, abort.signal), /never mind/);
});

test('after a Retry-After those that wait go on by themselves', async () => {
  const gate = new WriteGate();
  const ticket = gate.enterNow(false);
  assert.ok(ticket);
  gate.leave(ticket, 'overloaded', 100);
  const startedAt = performance.now();
  assert.equal(gate.enterNow(false), null);
  await Promise.all([gate.enter('a', 2_000, NEVER), gate.enter('b', 2_000, NEVER), sleep(110)]);
  const waitedMs = performance.now() - startedAt;
  assert.ok(waitedMs >= 99 && waitedMs < 1_500, String(waitedMs));
});

test('the line has an end', async () => {
  const gate = new WriteGate();
  full(gate);
  const waiting = Array.from({ length: 1_000 }, () => gate.enter('w', 200, NEVER).catch(() => 'refused'));
  await assert.rejects(gate.enter('one too many', 200, NEVER), /not sent/);
  await Promise.all(waiting);
});
