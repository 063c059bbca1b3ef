import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterError, type ClusterErrorKind } from '../../../src/ports/cluster.ts';
import type { TakenIn } from '../../../src/reconcile/intake.ts';
import type { Next } from '../../../src/reconcile/reconciler.ts';
import { nextOf } from '../../../src/reconcile/stream-job-side.ts';
import { goalOf } from '../../support/goals.ts';

/** When a turn comes again, from what its cell and its StreamJob each want. */

const NOW = 100_000;
const idle: Next = { kind: 'idle' };
const retry: Next = { kind: 'retry', afterMs: null };
const at = (time: number): Next => ({ kind: 'at', time });
const failed = (kind: ClusterErrorKind) => new ClusterError(kind, 'no');
const taken = (parts: Partial<TakenIn> = {}): TakenIn => ({
  goal: goalOf(),
  seen: null,
  note: null,
  keepers: [],
  events: [],
  failure: null,
  againAfterMs: null,
  ...parts,
});

const CASES: readonly (readonly [why: string, Next, TakenIn | null, ClusterError | null, Next])[] = [
  ['without a StreamJob the cell alone counts', at(NOW + 5), null, failed('unavailable'), at(NOW + 5)],
  ['all is well on both sides', idle, taken(), null, idle],
  [
    'the cell’s own retry comes with a look at the StreamJob',
    retry,
    taken({ failure: failed('invalid') }),
    null,
    retry,
  ],
  ['what could not be shown is tried again', idle, taken(), failed('unavailable'), retry],
  ['what needs a person is looked at seldom', at(NOW + 9_000_000), taken(), failed('forbidden'), at(NOW + 60_000)],
  ['the earlier time counts', at(NOW + 5), taken({ againAfterMs: 50 }), null, at(NOW + 5)],
];

for (const [why, cell, side, unshown, expected] of CASES) {
  test(why, () => assert.deepEqual(nextOf(cell, side, unshown, NOW), expected));
}
