import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LIMIT, type Outcome, type Ticket, WriteLimit } from '../../../src/cluster/write-limit.ts';

/** A server that answers `rate` writes a second, and none faster than `bestMs`; `takes` overrides that for one write. */
interface ServerModel {
  readonly bestMs: number;
  readonly perSecond: number;
}

/** Keeps a limit busy from a backlog without end, by a clock of its own. */
class Load {
  readonly limit = new WriteLimit();
  nowMs = 0;
  #freeAtMs = 0;
  readonly #due: { atMs: number; ticket: Ticket; outcome: Outcome }[] = [];

  /** @param hangs every so many writes one has no answer for 10 s; 0: none @returns writes done */
  run(forMs: number, { bestMs, perSecond }: ServerModel, hangs = 0): number {
    const endMs = this.nowMs + forMs;
    let done = 0;
    let sent = 0;
    while (this.nowMs < endMs) {
      while (this.limit.hasRoom(this.nowMs)) {
        sent += 1;
        const hung = hangs > 0 && sent % hangs === 0;
        if (!hung) this.#freeAtMs = Math.max(this.nowMs, this.#freeAtMs) + 1_000 / perSecond;
        const atMs = hung ? this.nowMs + 10_000 : Math.max(this.nowMs + bestMs, this.#freeAtMs);
        this.#due.push({ atMs, ticket: this.limit.start(this.nowMs), outcome: hung ? 'lost' : 'done' });
      }
      this.#due.sort((a, b) => a.atMs - b.atMs);
      const next = this.#due[0];
      const againAtMs = this.limit.looksAgainAt(this.nowMs);
      this.nowMs = Math.max(this.nowMs, Math.min(next?.atMs ?? endMs, againAtMs ?? Number.POSITIVE_INFINITY));
      if (!next || next.atMs > this.nowMs) continue;
      this.#due.shift();
      this.limit.end(next.ticket, next.outcome, this.nowMs);
      if (next.outcome === 'done') done += 1;
    }
    return done;
  }
}

/** One write alone. */
function one(limit: WriteLimit, startedAt: number, endedAt: number, outcome: Outcome, retryAfterMs = 0): void {
  limit.end(limit.start(startedAt), outcome, endedAt, retryAfterMs);
}

test('a server with room to spare is used to the full', () => {
  const load = new Load();
  load.run(20_000, { bestMs: 10, perSecond: 100_000 });
  assert.equal(load.limit.limit, LIMIT.max);
});

test('a small server gets what keeps it busy and not much more', () => {
  const load = new Load();
  const server = { bestMs: 8, perSecond: 400 };
  load.run(60_000, server);
  assert.ok(load.limit.limit >= 8 && load.limit.limit <= 24, String(load.limit.limit));
  const done = load.run(60_000, server);
  assert.ok(done >= 0.99 * 60 * 400, `the looks at the unloaded server cost next to nothing: ${done}`);
});

test('a server that becomes much slower gets less at once, and more again when it has recovered', () => {
  const load = new Load();
  load.run(10_000, { bestMs: 10, perSecond: 2_000 });
  const before = load.limit.limit;
  load.run(20_000, { bestMs: 300, perSecond: 20 });
  assert.ok(load.limit.limit < before / 2, `${load.limit.limit} of ${before}`);
  load.run(50_000, { bestMs: 10, perSecond: 2_000 });
  assert.ok(load.limit.limit >= before - 4, `${load.limit.limit} of ${before}`);
});

test('refusals for overload shrink it once for all that were under way together, and never below the least', () => {
  const limit = new WriteLimit();
  const tickets = Array.from({ length: 10 }, () => limit.start(0));
  for (const ticket of tickets) limit.end(ticket, 'overloaded', 5);
  assert.equal(limit.limit, Math.floor(LIMIT.initial * LIMIT.shrinkWhenRefused));
  for (let at = 10; at < 1_000; at += 10) one(limit, at, at + 5, 'lost');
  assert.equal(limit.limit, LIMIT.min);
});

test('Retry-After holds writes back for as long as the server asks', () => {
  const limit = new WriteLimit();
  one(limit, 0, 10, 'overloaded', 2_000);
  assert.equal(limit.hasRoom(11), false);
  assert.equal(limit.looksAgainAt(11), 2_010);
  assert.equal(limit.hasRoom(2_010), true);
});

test("a time-out is one write's own trouble where later ones were answered", () => {
  const limit = new WriteLimit();
  const hung = limit.start(0);
  one(limit, 5, 20, 'refused');
  limit.end(hung, 'lost', 10_000);
  assert.equal(limit.limit, LIMIT.initial);
});

test('conflicts and invalid objects say nothing about the load', () => {
  const limit = new WriteLimit();
  for (let at = 0; at < 5_000; at += 10) one(limit, at, at + 5, 'refused');
  assert.equal(limit.limit, LIMIT.initial);
});

test('when one in ten hangs, the others go on at nearly their full rate', () => {
  const load = new Load();
  const server = { bestMs: 10, perSecond: 100 };
  load.run(10_000, server);
  const done = load.run(30_000, server, 10);
  assert.ok(done >= 0.9 * 30 * 100, String(done));
});

/** Sends whatever it may, and nothing is answered. @returns how many were sent */
function fill(limit: WriteLimit, now: number): number {
  let sent = 0;
  for (; limit.hasRoom(now); sent += 1) limit.start(now);
  return sent;
}

test('when nothing is answered at all, what is under way stays bounded, and comes in waves', () => {
  const limit = new WriteLimit();
  const sent: number[] = [];
  for (let now = 0; now < 10_000; now += LIMIT.hangsAfterMs / 2) sent.push(fill(limit, now));
  const waves = Array.from({ length: LIMIT.maxUnexplainedRatio + 1 }, () => [LIMIT.initial, 0]).flat();
  assert.deepEqual(sent, [...waves, ...Array(sent.length - waves.length).fill(0)]);
});

test('writes that hang, all that are under way, leave their places to those that wait', () => {
  const limit = new WriteLimit();
  fill(limit, 0);
  assert.ok((limit.looksAgainAt(1) ?? Number.POSITIVE_INFINITY) <= LIMIT.hangsAfterMs, 'whoever waits looks by then');
  assert.equal(limit.hasRoom(LIMIT.hangsAfterMs - 1), false);
  assert.equal(fill(limit, LIMIT.hangsAfterMs), LIMIT.initial);
});

test('a server that hesitated once goes on with what it had: a burst is no reason for less', () => {
  const limit = new WriteLimit();
  const slow = Array.from({ length: LIMIT.initial }, () => limit.start(0));
  fill(limit, LIMIT.hangsAfterMs);
  for (const ticket of slow) limit.end(ticket, 'done', LIMIT.hangsAfterMs + 100);
  assert.equal(limit.limit, LIMIT.initial);
});

test('one slow answer does not hide what hangs an hour later', () => {
  const limit = new WriteLimit();
  one(limit, 0, 3_000, 'done');
  fill(limit, 3_600_000);
  assert.equal(fill(limit, 3_600_000 + LIMIT.hangsAfterMs), LIMIT.initial);
});

/** A server that works at all writes that it has, at so many a second together. @returns how many it answered in time */
function doneByAll(perSecond: number, wanted: number, forMs: number): number {
  const [STEP_MS, TIMEOUT_MS] = [10, 10_000];
  const limit = new WriteLimit();
  const work = new Map<Ticket, number>();
  let done = 0;
  for (let now = 0; now < forMs; now += STEP_MS) {
    while (work.size < wanted && limit.hasRoom(now)) work.set(limit.start(now), 0);
    const each = (perSecond * STEP_MS) / 1_000 / work.size;
    for (const [ticket, worked] of work) {
      const isDone = worked + each >= 1;
      if (!isDone && now - ticket.startedAt < TIMEOUT_MS) {
        work.set(ticket, worked + each);
        continue;
      }
      work.delete(ticket);
      limit.end(ticket, isDone ? 'done' : 'lost', now);
      if (isDone) done += 1;
    }
  }
  return done;
}

for (const [perSecond, wanted] of [
  [5, 64],
  [3, 48],
] as const) {
  test(`${wanted} writes for a server that does ${perSecond} a second: so few are sent that they are answered in time`, () => {
    const done = doneByAll(perSecond, wanted, 120_000);
    assert.ok(done >= 0.6 * perSecond * 120, `${done} of ${perSecond * 120}`);
  });
}

test('a backlog that is gone leaves the limit as it is', () => {
  const limit = new WriteLimit();
  for (let at = 0; at < 60_000; at += 100) one(limit, at, at + 10, 'done');
  assert.equal(limit.limit, LIMIT.initial);
});

const outcome = fc.constantFrom<Outcome>('done', 'done', 'done', 'refused', 'overloaded', 'lost', 'abandoned');
const steps = fc.array(
  fc.record({ wait: fc.nat(3_000), end: fc.option(fc.nat(70)), outcome, retryAfterMs: fc.nat(5_000) }),
  {
    maxLength: 300,
  },
);

test('whatever happens, the limit stays in its bounds and what is under way is known', () => {
  fc.assert(
    fc.property(steps, (schedule) => {
      const limit = new WriteLimit();
      const open: Ticket[] = [];
      let now = 0;
      for (const step of schedule) {
        now += step.wait;
        const [ended] = step.end === null ? [] : open.splice(step.end, 1);
        if (ended) limit.end(ended, step.outcome, now, step.retryAfterMs);
        while (limit.hasRoom(now)) open.push(limit.start(now));
        assert.equal(limit.inFlight, open.length);
        assert.ok(limit.limit >= LIMIT.min && limit.limit <= LIMIT.max);
        assert.ok(open.length <= LIMIT.max + LIMIT.maxHanging);
        // Whoever waits is looked at again: by a write's end, or by the clock.
        const again = limit.looksAgainAt(now);
        assert.ok(open.length > 0 || again !== null);
        assert.ok(again === null || again > now);
      }
    }),
  );
});

test('what hangs hands its place on only once, and takes it along when it ends', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: LIMIT.initial - 1 }), (hanging) => {
      const limit = new WriteLimit();
      const hung = Array.from({ length: hanging }, () => limit.start(0));
      one(limit, 1, 10, 'done');
      const free = () => {
        const taken: Ticket[] = [];
        while (limit.hasRoom(5_000)) taken.push(limit.start(5_000));
        for (const ticket of taken) limit.end(ticket, 'abandoned', 5_000);
        return taken.length;
      };
      assert.equal(free(), LIMIT.initial);
      for (const ticket of hung) limit.end(ticket, 'lost', 10_000);
      assert.equal(free(), LIMIT.initial);
      assert.equal(limit.inFlight, 0);
    }),
  );
});
