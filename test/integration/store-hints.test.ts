import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { GoalChange } from '../../src/ports/store.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openStore, type Store } from '../../src/store/open.ts';
import { sql, startServer, type TestDatabase, testDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/proxy.ts';

const ORIGIN = { author: 'ann', source: 'cli', reason: null } as const;
const WAIT_MS = 10_000;

const apply = (name: string): GoalChange => ({
  job: { tenant: 'ads', name },
  content: { kind: 'spec', spec: { container: { image: 'app:1' } } },
});

/** A listener that writes down what it is told, in order. */
class Recorder {
  readonly seen: string[] = [];
  readonly errors: Error[] = [];
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;

  constructor(store: Store) {
    const handlers = {
      onHint: (id: string) => this.seen.push(id),
      onReady: () => this.seen.push('ready'),
      onLost: (error: Error) => {
        this.seen.push('lost');
        this.errors.push(error);
      },
    };
    this.#done = store.listen(handlers, this.#abort.signal);
  }

  /** Waits until exactly these were seen. */
  async until(expected: readonly string[]): Promise<void> {
    const deadline = performance.now() + WAIT_MS;
    while (this.seen.length < expected.length && performance.now() < deadline) await sleep(10);
    assert.deepEqual(this.seen, expected);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#done;
  }
}

describe('hints', () => {
  let db: TestDatabase;
  let proxy: TcpProxy;
  let recorder: Recorder;
  let through: Store;

  beforeEach(async () => {
    db = await testDatabase();
    proxy = await TcpProxy.to({ host: '127.0.0.1', port: Number(new URL(db.url).port) });
    through = await openStore({ url: proxy.urlFor(db.url), applicationName: 'through', pingIntervalMs: 100 });
    recorder = new Recorder(through);
    await recorder.until(['ready']);
  });
  afterEach(async () => {
    await recorder.stop();
    await through.close();
    await proxy[Symbol.asyncDispose]();
    await db[Symbol.asyncDispose]();
  });

  it('come for every job that was changed, once its transaction is committed', async () => {
    const receipts = await db.store.write([apply('a'), apply('b')], ORIGIN);
    await recorder.until(['ready', ...receipts.map((r) => String(r.id))]);
    await db.store.write([apply('a')], ORIGIN);
    await sleep(200);
    assert.equal(recorder.seen.length, 3, 'nothing changed, nothing said');
  });

  it('that are not ours are passed over', async () => {
    await sql(db.url, `notify bulkhead_goal, 'Robert''); drop table job'`);
    const [receipt] = await db.store.write([apply('a')], ORIGIN);
    await recorder.until(['ready', String(receipt?.id)]);
  });

  it('come again after the connection was ended by somebody', async () => {
    await sql(
      db.url,
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'through (hints)'`,
    );
    await recorder.until(['ready', 'lost', 'ready']);
    assert.match(String(recorder.errors[0]?.message), /closed the connection|broke/);
    const [receipt] = await db.store.write([apply('a')], ORIGIN);
    await recorder.until(['ready', 'lost', 'ready', String(receipt?.id)]);
  });

  it('come again after the database was away for a while, and the loss is said once', async () => {
    const url = new URL(db.url);
    await sql(db.superuserUrl, `alter role bulkhead nologin`);
    proxy.dropAll();
    await sleep(1_500);
    await sql(db.superuserUrl, `alter role bulkhead login`);
    await recorder.until(['ready', 'lost', 'ready']);
    assert.ok(!recorder.errors.some((e) => e.message.includes(url.password)));
  });

  it('come again when the other end had vanished without a word', { timeout: 30_000 }, async () => {
    proxy.freeze();
    const deadline = performance.now() + 15_000;
    while (recorder.errors.length === 0 && performance.now() < deadline) await sleep(50);
    assert.match(String(recorder.errors[0]?.message), /does not answer/);
    proxy.thaw();
    await recorder.until(['ready', 'lost', 'ready']);
  });

  it('stop at once when they are no longer wanted, also while nobody answers', async () => {
    proxy.freeze();
    await sleep(300);
    const startedAt = performance.now();
    await recorder.stop();
    assert.ok(performance.now() - startedAt < 1_000);
    assert.deepEqual(recorder.seen, ['ready']);
  });
});

describe('a queue of hints that is full', () => {
  it('does not keep a goal from being stored', async () => {
    const server = await startServer('hints', { max_notify_queue_pages: '64' });
    await migrate(server.url);
    const store = await openStore({ url: server.url, applicationName: 'test' });
    const stuck = new pg.Client({ connectionString: server.url });
    await stuck.connect();
    // Who listens, and never ends a transaction, keeps the queue from being emptied.
    await stuck.query('listen bulkhead_goal');
    await stuck.query('begin');
    await stuck.query('select 1');
    const fill = `select pg_notify('bulkhead_goal', n || repeat('x', 7000)) from generate_series(1, 10) n`;
    await assert.rejects(async () => {
      for (let n = 0; n < 100; n += 1) await sql(server.url, fill);
    }, /too many notifications/);
    const [receipt] = await store.write([apply('a')], ORIGIN);
    assert.equal(receipt?.outcome, 'created');
    assert.ok(await store.find({ tenant: 'ads', name: 'a' }));
    await stuck.end();
    await store.close();
  });
});
