import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { DEFAULT_BACK_OFF } from '../../../src/reconcile/pace.ts';
import { KeyQueue, type QueueOptions } from '../../../src/reconcile/queue.ts';

/** Takes for as long as there is something to take. */
function allOf(queue: KeyQueue<string>): string[] {
  const key = queue.take();
  return key === null ? [] : [key, ...allOf(queue)];
}

const queueOf = (options: Partial<QueueOptions> = {}) => new KeyQueue<string>({ onReady: () => undefined, ...options });

test('keys come out in the order they came in, each once', () => {
  const queue = queueOf();
  for (const key of ['a', 'b', 'a', 'c']) queue.add(key, 'edit');
  assert.deepEqual([queue.take(), queue.take(), queue.take(), queue.take()], ['a', 'b', 'c', null]);
});

test('a key added while it is worked on comes back once, and never to two workers', () => {
  const queue = queueOf();
  queue.add('a', 'edit');
  queue.take();
  queue.add('a', 'edit');
  queue.add('a', 'edit');
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
    queue.add('good', 'edit');
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
  queue.add('a', 'edit');
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
  queue.add('a', 'edit');
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
    const queue = queueOf({ concurrency: 4 });
    for (let i = 0; i < 10; i += 1) queue.retry(`bad-${i}`);
    mock.timers.tick(DEFAULT_BACK_OFF.maxMs);
    queue.add('good', 'edit');
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
    queue.add('a', 'edit');
    assert.equal(queue.take(), 'a');
  } finally {
    mock.timers.reset();
  }
});

test('keys that leave take their waits along; the others stay', () => {
  const queue = queueOf();
  queue.add('leaves', 'edit');
  queue.retry('leaves later');
  queue.add('stays', 'edit');
  queue.drop((key) => key.startsWith('leaves'));
  assert.deepEqual([queue.take(), queue.take()], ['stays', null]);
  queue.drop(() => true);
});

test('a failing key that somebody wants something of is in one line only, whatever is heard of it meanwhile', () => {
  const queue = queueOf();
  queue.retry('a');
  queue.add('a', 'edit');
  queue.hint('a');
  assert.equal(queue.take(), 'a');
  assert.equal(queue.take(), null, 'never to two workers');
  queue.drop(() => true);
});

test('what becomes of a key is told: ready once, however often it is added; taken; set for later; done', () => {
  const told: string[] = [];
  const queue = queueOf({
    signals: {
      added: () => told.push('added'),
      delayed: () => told.push('delayed'),
      taken: () => told.push('taken'),
      done: () => told.push('done'),
    },
  });
  queue.add('a', 'edit');
  queue.add('a', 'edit');
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

test('a person’s edit comes before a repair, and that before the backlog, whatever came first', () => {
  const queue = queueOf();
  queue.add('backlog', 'backlog');
  queue.hint('drifted');
  queue.add('edited', 'edit');
  assert.deepEqual([queue.take(), queue.take(), queue.take()], ['edited', 'drifted', 'backlog']);
});

test('a key of the backlog that is edited moves up, keeps its age, and is worked on once', () => {
  let now = 0;
  const waits: number[] = [];
  const nothing = () => undefined;
  const signals = { added: nothing, delayed: nothing, taken: (ms: number) => waits.push(ms), done: nothing };
  const queue = queueOf({ now: () => now, signals });
  for (const key of ['a', 'b', 'c']) queue.add(key, 'backlog');
  now = 500;
  queue.add('d', 'edit');
  queue.add('c', 'edit');
  assert.deepEqual([queue.take(), queue.take(), queue.take()], ['d', 'c', 'a']);
  assert.deepEqual(waits, [0, 500, 500]);
});

test('an edit that comes while the key is worked on for the backlog is the next thing done, once', () => {
  const queue = queueOf();
  queue.add('a', 'backlog');
  queue.take();
  queue.add('b', 'backlog');
  queue.add('a', 'backlog');
  queue.add('a', 'edit');
  queue.hint('a');
  queue.done('a');
  assert.deepEqual([queue.take(), queue.take(), queue.take()], ['a', 'b', null]);
});

test('what is no drift is looked at with the backlog, also when it was heard of during the work; a drift raises it', () => {
  const queue = queueOf();
  queue.add('busy', 'edit');
  queue.take();
  queue.hint('busy', 'backlog');
  queue.add('idle', 'backlog');
  queue.hint('drifted', 'backlog');
  queue.done('busy');
  queue.hint('drifted');
  assert.deepEqual([queue.take(), queue.take(), queue.take()], ['drifted', 'idle', 'busy']);
});

test('what is heard of a key that was just written to waits behind the backlog: mostly it is the cluster’s answer', () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  try {
    const queue = queueOf({ now: Date.now });
    queue.slowDown('written');
    queue.hint('written');
    mock.timers.tick(1_000);
    queue.hint('drifted');
    assert.deepEqual([queue.take(), queue.take()], ['drifted', 'written']);
  } finally {
    mock.timers.reset();
  }
});

test('a person’s edit of a failing job goes before the backlog, and other people’s edits before it', () => {
  const queue = queueOf();
  queue.retry('bad');
  queue.add('idle', 'backlog');
  queue.add('bad', 'edit');
  queue.add('good', 'edit');
  assert.deepEqual([queue.take(), queue.take(), queue.take()], ['good', 'bad', 'idle']);
  queue.drop(() => true);
});

test('work that hangs leaves places: for edits beside the backlog, for healthy jobs beside edits of failing ones', () => {
  const queue = queueOf({ concurrency: 16 });
  const takeAll = () => allOf(queue);
  for (let i = 0; i < 100; i += 1) queue.add(`idle-${i}`, 'backlog');
  assert.equal(takeAll().length, 14);
  queue.add('edited', 'edit');
  assert.deepEqual(takeAll(), ['edited']);
  queue.drop(() => true);
  for (let i = 0; i < 14; i += 1) queue.done(`idle-${i}`);
  for (let i = 0; i < 100; i += 1) {
    queue.retry(`bad-${i}`);
    queue.add(`bad-${i}`, 'edit');
  }
  assert.equal(takeAll().length, 12);
  queue.add('healthy', 'edit');
  assert.deepEqual(takeAll(), ['healthy']);
  queue.drop(() => true);
});

test('an edit does not wait for calls that hang, though all of them are edits: after half a second those count no more', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    let now = 0;
    let readyCalls = 0;
    const queue = queueOf({ concurrency: 2, now: () => now, onReady: () => (readyCalls += 1) });
    const pass = (ms: number) => {
      now += ms;
      mock.timers.tick(ms);
    };
    const takeAll = () => allOf(queue);
    for (let i = 1; i <= 8; i += 1) queue.add(`hangs-${i}`, 'edit');
    queue.add('healthy', 'edit');
    assert.deepEqual(takeAll(), ['hangs-1', 'hangs-2']);
    const before = readyCalls;
    pass(499);
    assert.deepEqual(takeAll(), []);
    pass(1);
    assert.equal(readyCalls, before + 1, 'whoever takes is told that there is room');
    assert.deepEqual(takeAll(), ['hangs-3', 'hangs-4']);
    pass(500);
    assert.deepEqual(takeAll(), ['hangs-5', 'hangs-6']);
    pass(500);
    assert.deepEqual(takeAll(), ['hangs-7', 'hangs-8']);
    pass(500);
    assert.deepEqual(takeAll(), [], 'no more than three times as many again: what hangs is bounded');
    queue.done('hangs-1');
    assert.deepEqual(takeAll(), ['healthy']);
    queue.drop(() => true);
  } finally {
    mock.timers.reset();
  }
});

test('a burst of edits that take long leaves the share of turns that every line is owed', () => {
  let now = 0;
  const queue = queueOf({ concurrency: 16, now: () => now });
  const taken: string[] = [];
  for (let i = 0; i < 500; i += 1) queue.add(`edit-${i}`, 'edit');
  for (let i = 0; i < 50; i += 1) queue.add(`backlog-${i}`, 'backlog');
  for (; now < 20_000; now += 700) {
    const turns = allOf(queue);
    taken.push(...turns);
    now += 700;
    for (const key of turns) queue.done(key);
  }
  const lines = taken.map((key) => key.split('-')[0]);
  const backlog = lines.filter((line) => line === 'backlog').length;
  assert.ok(backlog >= lines.length / 8, `${backlog} of ${lines.length}`);
  queue.drop(() => true);
});

test('a repair does not wait for edits that hang either, but repairs that hang do not make room for more of them', () => {
  let now = 0;
  const queue = queueOf({ concurrency: 2, now: () => now });
  for (const key of ['hangs-1', 'hangs-2']) queue.add(key, 'edit');
  assert.deepEqual([queue.take(), queue.take()], ['hangs-1', 'hangs-2']);
  for (const key of ['repair-1', 'repair-2']) queue.hint(key);
  assert.equal(queue.take(), null);
  now += 500;
  assert.equal(queue.take(), 'repair-1');
  now += 500;
  assert.equal(queue.take(), null);
  queue.drop(() => true);
});

test('a time beyond what a timer can hold does not come at once', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const queue = queueOf();
    queue.addAfter('a', 2 ** 40);
    mock.timers.tick(1_000);
    assert.equal(queue.take(), null);
    queue.drop(() => true);
  } finally {
    mock.timers.reset();
  }
});

test('a hundred thousand keys cost little more for each than a few do', () => {
  const queue = queueOf({ concurrency: 16 });
  const before = process.cpuUsage();
  for (let i = 0; i < 100_000; i += 1) queue.add(`job-${i}`, i % 3 === 0 ? 'edit' : 'backlog');
  for (let key = queue.take(); key !== null; key = queue.take()) queue.done(key);
  const { user, system } = process.cpuUsage(before);
  assert.equal(queue.remembered, 0);
  assert.ok(
    user + system < 2_000_000,
    `${(user + system) / 1_000} ms; looking for the first one over and over is 10 s`,
  );
});
