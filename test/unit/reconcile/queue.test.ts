import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import { backOffMs, DEFAULT_BACK_OFF, KeyQueue } from '../../../src/reconcile/queue.ts';

const queueOf = () => new KeyQueue<string>(() => undefined);

test('keys come out in the order they came in, each once', () => {
  const queue = queueOf();
  for (const key of ['a', 'b', 'a', 'c']) queue.add(key);
  assert.deepEqual([queue.take(), queue.take(), queue.take(), queue.take()], ['a', 'b', 'c', null]);
});

test('a key added while it is worked on comes back once, and never to two workers', () => {
  const queue = queueOf();
  queue.add('a');
  queue.take();
  queue.add('a');
  queue.add('a');
  assert.equal(queue.take(), null);
  queue.done('a');
  assert.equal(queue.take(), 'a');
  queue.done('a');
  assert.equal(queue.take(), null);
});

test('a failing key waits longer each time and delays no other', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const queue = queueOf();
    const delays = [1, 2, 3, 4].map(() => queue.retry('bad'));
    assert.ok(
      delays.every((delay, i) => i === 0 || delay > (delays[i - 1] ?? 0)),
      delays.join(' '),
    );
    queue.add('good');
    assert.equal(queue.take(), 'good');
    mock.timers.tick(DEFAULT_BACK_OFF.maxMs);
    assert.equal(queue.take(), 'bad');
    queue.drop(() => true);
  } finally {
    mock.timers.reset();
  }
});

test('a hint does not cut a back-off short, but somebody who wants something does', () => {
  const queue = queueOf();
  queue.retry('a');
  queue.hint('a');
  assert.equal(queue.take(), null);
  queue.add('a');
  assert.equal(queue.take(), 'a');
  queue.drop(() => true);
});

test('a repair that is undone each time is made ever more slowly: success in between does not count at once', () => {
  const queue = queueOf();
  const delays = [1, 2, 3].map(() => {
    const delay = queue.slowDown('fought over');
    queue.succeeded('fought over');
    return delay;
  });
  assert.ok(
    delays.every((delay, i) => i === 0 || delay > (delays[i - 1] ?? 0)),
    delays.join(' '),
  );
});

test('a hint that comes during the work does not cut the back-off short either', () => {
  const queue = queueOf();
  queue.add('a');
  queue.take();
  queue.hint('a');
  queue.retry('a');
  queue.done('a');
  assert.equal(queue.take(), null);
  queue.drop(() => true);
});

test('however many keys fail, and however slowly, the others are served', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const queue = new KeyQueue<string>(() => undefined, 2);
    for (let i = 0; i < 10; i += 1) queue.retry(`bad-${i}`);
    mock.timers.tick(DEFAULT_BACK_OFF.maxMs);
    queue.add('good');
    const taken = [queue.take(), queue.take(), queue.take(), queue.take()];
    assert.deepEqual([taken[0], taken[3]], ['good', null], 'two failing ones at most are worked on');
    assert.ok(taken[1]?.startsWith('bad-') && taken[2]?.startsWith('bad-'));
    queue.done(taken[1] ?? '');
    assert.ok(queue.take()?.startsWith('bad-'), 'when one is done, the next one comes');
  } finally {
    mock.timers.reset();
  }
});

test('a time that the other side asked for is kept, also against hints', () => {
  const queue = queueOf();
  assert.equal(queue.retry('a', 30_000), 30_000);
  queue.hint('a');
  assert.equal(queue.take(), null);
  queue.drop(() => true);
});

test('of two times the earlier one counts, and news at once', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const queue = queueOf();
    queue.addAfter('a', 1_000);
    queue.addAfter('a', 50_000);
    mock.timers.tick(1_000);
    assert.equal(queue.take(), 'a');
    queue.done('a');
    queue.addAfter('a', 50_000);
    queue.add('a');
    assert.equal(queue.take(), 'a');
  } finally {
    mock.timers.reset();
  }
});

test('the delay is never above its limit, so that a repaired fault is noticed within 30 s', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
      const delay = backOffMs(failures, DEFAULT_BACK_OFF, random);
      assert.ok(delay >= DEFAULT_BACK_OFF.baseMs * 0.8 - 1 && delay <= DEFAULT_BACK_OFF.maxMs);
    }),
  );
});

test('keys that leave take their waits along; the others stay', () => {
  const queue = queueOf();
  queue.add('leaves');
  queue.retry('leaves later');
  queue.add('stays');
  queue.drop((key) => key.startsWith('leaves'));
  assert.deepEqual([queue.take(), queue.take()], ['stays', null]);
  queue.drop(() => true);
});

test('a failing key that somebody wants something of is in one line only, whatever is heard of it meanwhile', () => {
  const queue = queueOf();
  queue.retry('a');
  queue.add('a');
  queue.hint('a');
  assert.equal(queue.take(), 'a');
  assert.equal(queue.take(), null, 'never to two workers');
  queue.drop(() => true);
});

test('what becomes of a key is told: ready once, however often it is added; taken; set for later; done', () => {
  const told: string[] = [];
  const queue = new KeyQueue<string>(() => undefined, 1, {
    added: () => told.push('added'),
    delayed: () => told.push('delayed'),
    taken: () => told.push('taken'),
    done: () => told.push('done'),
  });
  queue.add('a');
  queue.add('a');
  queue.hint('a');
  assert.equal(queue.load.depth, 1);
  queue.take();
  assert.equal(queue.load.depth, 0);
  assert.equal(queue.load.workingMs.length, 1);
  queue.retry('a');
  queue.hint('a');
  queue.done('a');
  assert.deepEqual(told, ['added', 'taken', 'delayed', 'done']);
  assert.deepEqual(queue.load, { depth: 0, workingMs: [] });
  queue.drop(() => true);
});
