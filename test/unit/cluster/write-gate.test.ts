import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTick, setTimeout as sleep } from 'node:timers/promises';
import { type Pass, WriteGate } from '../../../src/cluster/write-gate.ts';
import { LIMIT } from '../../../src/cluster/write-limit.ts';
import { ClusterError } from '../../../src/ports/cluster.ts';

const NEVER = undefined;

function full(gate: WriteGate): Pass[] {
  return Array.from({ length: LIMIT.initial }, () => {
    const ticket = gate.enterNow('busy');
    assert.ok(ticket);
    return ticket;
  });
}

test('writes wait in the order of their arrival, one for each that ends, and nobody passes them but what is urgent', async () => {
  const gate = new WriteGate();
  const inside = full(gate);
  const order: number[] = [];
  const waiting = [1, 2, 3].map(async (n) => {
    await gate.enter('x', 'w', 5_000, NEVER);
    order.push(n);
  });
  assert.deepEqual(gate.load, { limit: LIMIT.initial, inFlight: LIMIT.initial, waiting: 3 });
  assert.equal(gate.enterNow('busy'), null);
  const urgent = gate.enterNow('x', true);
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

test('of those that wait, one of each lane goes first: a lane whose writes take long holds one place, not as many as it likes', async () => {
  const gate = new WriteGate();
  const inside = full(gate);
  const order: string[] = [];
  const passes = new Map<string, Pass>();
  for (const write of ['slow 1', 'slow 2', 'slow 3', 'other 1', 'other 2']) {
    void gate.enter(write.split(' ')[0] ?? '', write, 5_000, NEVER).then((pass) => {
      order.push(write);
      passes.set(write, pass);
    });
  }
  const end = async (pass: Pass | undefined) => {
    assert.ok(pass);
    gate.leave(pass, 'done');
    await nextTick();
  };
  await end(inside[0]);
  await end(inside[1]);
  assert.deepEqual(order, ['slow 1', 'other 1']);
  await end(passes.get('other 1'));
  assert.deepEqual(order.slice(2), ['other 2']);
  await end(passes.get('other 2'));
  assert.deepEqual(order.slice(3), ['slow 2'], 'a place that nobody else wants is not left empty');
  await end(passes.get('slow 1'));
  assert.deepEqual(order.slice(4), ['slow 3']);
});

test('a lane with a write that hangs gets places only while half of them are free, and what has no lane does not wait for it', async () => {
  let now = 0;
  const gate = new WriteGate(undefined, () => now);
  for (let i = 0; i < LIMIT.initial; i += 1) assert.ok(gate.enterNow('hangs'));
  const order: string[] = [];
  const enter = (lane: string | null, what: string) =>
    gate.enter(lane, what, 5_000, NEVER).then((pass) => {
      order.push(what);
      return pass;
    });
  for (let i = 1; i <= LIMIT.initial; i += 1) enter('hangs', `again ${i}`).catch(() => 'in vain');
  now = LIMIT.hangsAfterMs;
  const others = [enter(null, 'of none'), ...['a', 'b', 'c'].map((lane) => enter(lane, lane))];
  const passes = await Promise.all(others);
  const half = LIMIT.initial / 2;
  assert.equal(order.filter((what) => what.startsWith('again')).length, half - 1, 'with that of none it is half');
  assert.deepEqual(
    order.filter((what) => !what.startsWith('again')),
    ['of none', 'a', 'b', 'c'],
  );
  for (const pass of passes) gate.leave(pass, 'done');
});

test('who waits in vain is told that nothing was sent, and the next in line is not held up', async () => {
  const gate = new WriteGate();
  const inside = full(gate);
  const vain = gate.enter('x', 'POST /x', 30, NEVER);
  const patient = gate.enter('x', 'POST /y', 5_000, NEVER);
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
  const waiting = gate.enter('x', 'w', 5_000, abort.signal);
  abort.abort(new Error('never mind'));
  await assert.rejects(waiting, /never mind/);
  assert.equal(gate.load.waiting, 0);
  await assert.rejects(gate.enter('x', 'w', 5_000, abort.signal), /never mind/);
});

test('after a Retry-After those that wait go on by themselves', async () => {
  const gate = new WriteGate();
  const ticket = gate.enterNow('busy');
  assert.ok(ticket);
  gate.leave(ticket, 'overloaded', 100);
  const startedAt = performance.now();
  assert.equal(gate.enterNow('busy'), null);
  await Promise.all([gate.enter('a', 'w', 2_000, NEVER), gate.enter('b', 'w', 2_000, NEVER), sleep(110)]);
  const waitedMs = performance.now() - startedAt;
  assert.ok(waitedMs >= 99 && waitedMs < 1_500, String(waitedMs));
});

test('the line has an end', async () => {
  const gate = new WriteGate();
  full(gate);
  const waiting = Array.from({ length: 1_000 }, () => gate.enter('x', 'w', 200, NEVER).catch(() => 'refused'));
  await assert.rejects(gate.enter('x', 'one too many', 200, NEVER), /not sent/);
  await Promise.all(waiting);
});
