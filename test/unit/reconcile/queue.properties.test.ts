import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import { LINES, type LineName, Lines, OVERDUE_MS, OVERDUE_SHARE } from '../../../src/reconcile/lines.ts';
import { KeyQueue } from '../../../src/reconcile/queue.ts';

const KEYS = Array.from({ length: 12 }, (_, i) => `job-${i}`);
const key = fc.constantFrom(...KEYS);
const all = () => true;

/** Lines in the plainest way that one can write them down. */
class Model {
  readonly lines: Record<LineName, { readonly key: string; readonly since: number }[]> = {
    edit: [],
    mend: [],
    repair: [],
    backlog: [],
    troubled: [],
  };

  enter(entered: string, name: LineName, now: number): void {
    const current = LINES.find((it) => this.lines[it].some((entry) => entry.key === entered));
    if (current && LINES.indexOf(current) <= LINES.indexOf(name)) return;
    const since = current ? this.delete(entered) : now;
    this.lines[name].push({ key: entered, since });
  }

  /** @returns since when it waited */
  delete(deleted: string): number {
    for (const line of Object.values(this.lines)) {
      const index = line.findIndex((entry) => entry.key === deleted);
      const [entry] = index < 0 ? [] : line.splice(index, 1);
      if (entry) return entry.since;
    }
    return 0;
  }

  get open(): LineName[] {
    return LINES.filter((name) => this.lines[name].length > 0);
  }

  overdue(now: number): LineName[] {
    return this.open.filter((name) => now - (this.lines[name][0]?.since ?? now) >= OVERDUE_MS);
  }
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('enter' as const), key, line: fc.constantFrom(...LINES) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('take' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete' as const), key }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 1_500 }) }) },
);

test('lines: by priority, then by arrival; no line with an overdue key is passed over for long; ages are kept', () => {
  /** What the turn of a line may have to wait for once it is owed one: its share, and other lines that are owed one. */
  const bound = OVERDUE_SHARE + LINES.length - 2;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const lines = new Lines<string>();
      const model = new Model();
      const passedOver = new Map<LineName, number>();
      let now = 0;
      for (const it of steps) {
        if (it.do === 'pass') now += it.ms;
        if (it.do === 'enter') {
          lines.enter(it.key, it.line, now);
          model.enter(it.key, it.line, now);
        }
        if (it.do === 'delete') {
          lines.delete(it.key);
          model.delete(it.key);
        }
        if (it.do === 'take') {
          const { open } = model;
          const overdue = model.overdue(now);
          const taken = lines.take(now, all);
          assert.equal(taken === null, open.length === 0);
          if (!taken) continue;
          assert.deepEqual(model.lines[taken.line][0], { key: taken.key, since: taken.since });
          if (taken.line !== open[0]) assert.ok(overdue.includes(taken.line), 'only what is overdue goes out of turn');
          for (const name of LINES) {
            const passed = overdue.includes(name) && name !== taken.line ? (passedOver.get(name) ?? 0) + 1 : 0;
            // The first line has no share of its own: it has the turns that nobody else is owed.
            passedOver.set(name, name === open[0] ? 0 : passed);
            assert.ok(passed < bound, `${name} was passed over ${passed} times`);
          }
          model.delete(taken.key);
        }
      }
      assert.equal(lines.size, Object.values(model.lines).flat().length);
    }),
    { numRuns: 500 },
  );
});

test('nothing starves: whatever edits stream in, a key of the backlog is served by the bound', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1, max: 3 }), (ahead, editsPerTurn) => {
      const lines = new Lines<string>();
      for (let i = 0; i < ahead; i += 1) lines.enter(`before-${i}`, 'backlog', 0);
      lines.enter('waiting', 'backlog', 0);
      let turns = 0;
      for (let edits = 0; ; turns += 1) {
        for (let i = 0; i < editsPerTurn; i += 1) lines.enter(`edit-${edits++}`, 'edit', OVERDUE_MS);
        if (lines.take(OVERDUE_MS, all)?.key === 'waiting') break;
        assert.ok(turns <= (ahead + 1) * OVERDUE_SHARE);
      }
      assert.equal(turns + 1, (ahead + 1) * OVERDUE_SHARE);
    }),
    { numRuns: 50 },
  );
});

test('a backlog that is overdue as a whole takes one turn of six: edits go on being served', () => {
  const lines = new Lines<string>();
  for (let i = 0; i < 20_000; i += 1) lines.enter(`backlog-${i}`, 'backlog', 0);
  for (let i = 0; i < 85; i += 1) lines.enter(`edit-${i}`, 'edit', 60_000);
  const turns = Array.from({ length: 110 }, () => lines.take(60_000, all)?.line);
  assert.equal(turns.lastIndexOf('edit') + 1, Math.floor(85 / 5) + 85 - 1);
});

const act = fc.oneof(
  fc.record({ do: fc.constantFrom('edit', 'repair', 'backlog', 'hint', 'later', 'slow'), key }),
  fc.record({ do: fc.constantFrom('take', 'pass', 'drop'), key }),
  fc.record({ do: fc.constantFrom('well', 'fail'), key }),
);

test('the queue: one worker a key, no request lost, limits kept; at rest it keeps nothing', () => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const concurrency = 8;
  try {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 80 }), (acts) => {
        const queue = new KeyQueue<string>({ onReady: () => undefined, concurrency, now: Date.now });
        const working = new Set<string>();
        /** Keys that somebody wants something of, and that were not taken since. */
        const wanted = new Set<string>();
        const take = (): boolean => {
          const taken = queue.take();
          if (taken === null) return false;
          assert.ok(!working.has(taken), 'never two workers');
          working.add(taken);
          wanted.delete(taken);
          assert.ok(working.size <= concurrency);
          return true;
        };
        const finish = (done: string, isWell: boolean): void => {
          if (!working.delete(done)) return;
          if (isWell) queue.succeeded(done);
          else queue.retry(done);
          if (!isWell) wanted.add(done);
          queue.done(done);
        };
        for (const it of acts) {
          if (it.do === 'edit' || it.do === 'repair' || it.do === 'backlog') queue.add(it.key, it.do);
          if (it.do === 'hint') queue.hint(it.key);
          if (it.do === 'later') queue.addAfter(it.key, 700);
          if (['edit', 'repair', 'backlog', 'hint', 'later'].includes(it.do)) wanted.add(it.key);
          if (it.do === 'slow') queue.slowDown(it.key);
          if (it.do === 'take') take();
          if (it.do === 'pass') mock.timers.tick(400);
          if (it.do === 'well') finish(it.key, true);
          if (it.do === 'fail') finish(it.key, false);
          if (it.do === 'drop') {
            queue.drop((dropped) => dropped === it.key);
            wanted.delete(it.key);
          }
        }
        for (let round = 0; round < 10; round += 1) {
          mock.timers.tick(20_000);
          while (take()) for (const each of [...working]) finish(each, true);
          for (const each of [...working]) finish(each, true);
        }
        assert.deepEqual([...wanted], [], 'whatever was wanted was served');
        mock.timers.tick(60_000);
        assert.equal(queue.take(), null);
        assert.equal(queue.remembered, 0);
      }),
      { numRuns: 300 },
    );
  } finally {
    mock.timers.reset();
  }
});
