import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import { backOffMs, DEFAULT_BACK_OFF, Pace } from '../../../src/reconcile/pace.ts';

test('the delay is never above its limit, so that a repaired fault is noticed within 30 s', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
      const delay = backOffMs(failures, DEFAULT_BACK_OFF, random);
      assert.ok(delay >= DEFAULT_BACK_OFF.baseMs * 0.8 - 1 && delay <= DEFAULT_BACK_OFF.maxMs);
    }),
  );
});

test('what was written to once is forgotten when it is calm, though nobody ever asks; what fails is not', () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  try {
    const pace = new Pace<string>(Date.now);
    for (let i = 0; i < 1_000; i += 1) pace.repaired(`job-${i}`);
    pace.failed('bad', null);
    mock.timers.tick(30_000);
    assert.deepEqual([...pace.keys()], ['bad']);
    assert.ok(pace.isFailing('bad'));
    pace.succeeded('bad');
    assert.deepEqual([...pace.keys()], []);
  } finally {
    mock.timers.reset();
  }
});

test('a released key is held no longer, and fails until it has gone well', () => {
  const pace = new Pace<string>(() => 0);
  pace.failed('a', 5_000);
  assert.equal(pace.holdMs('a'), 5_000);
  pace.release('a');
  assert.ok(pace.holdMs('a') <= 0);
  assert.ok(pace.isFailing('a'));
});
