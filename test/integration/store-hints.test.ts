import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { GoalChange } from '../../src/ports/store.ts';
import { listen } from '../../src/store/hints.ts';
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

  /** @param listen the store's, or how to listen without one */
  constructor(listen: Store['listen']) {
    const handlers = {
      onJob: (id: string) => this.seen.push(id),
      onOther: () => this.seen.push('other'),
      onReady: () => this.seen.push('ready'),
      onLost: (error: Error) => {
        this.seen.push('lost');
        this.errors.push(error);
      },
    };
    this.#done = listen(handlers, this.#abort.signal);
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
    recorder = new Recorder(through.listen);
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

  it('come for the platform and for the brake, of which they say no more', async () => {
    await db.store.writePlatform({ tenant: 'ads', content: { defaults: {}, limits: {} } }, ORIGIN);
    await recorder.until(['ready', 'other']);
    await db.store.releaseBrake({ ...ORIGIN, reason: 'test' });
    await recorder.until(['ready', 'other', 'other']);
  });

  it('that are not ours are passed over', async () => {
    await sql(db.superuserUrl, `notify bulkhead_goal, 'Robert''); drop table job'`);
    const [receipt] = await db.store.write([apply('a')], ORIGIN);
    await recorder.until(['ready', String(receipt?.id)]);
  });

  it('come again after the connection was ended by somebody', async () => {
    await sql(
      db.superuserUrl,
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'through (hints)'`,
    );
    await recorder.until(['ready', 'lost', 'ready']);
    assert.match(String(recorder.errors[0]?.message), /closed the connection|broke/);
    const [receipt] = await db.store.write([apply('a')], ORIGIN);
    await recorder.until(['ready', 'lost', 'ready', String(receipt?.id)]);
  });

  it('come again after the database was away for a while, and the loss is said once', async () => {
    const { pathname, password } = new URL(db.url);
    const limit = (count: number) =>
      sql(db.superuserUrl, `alter database ${pathname.slice(1)} connection limit ${count}`);
    await limit(0);
    proxy.dropAll();
    await sleep(1_500);
    await limit(-1);
    await recorder.until(['ready', 'lost', 'ready']);
    assert.ok(!recorder.errors.some((e) => e.message.includes(password)));
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

/**
 * What poolers do to LISTEN, on the way to a real server. All of them make up the number of the backend at the login.
 * - `session`: nothing else.
 * - `transaction`: the backend that listens is lent to others, so its notifications never arrive.
 * - `refusing`: says that LISTEN is not for its clients.
 */
type Pooler = 'session' | 'transaction' | 'refusing';

/** An ErrorResponse and a ReadyForQuery. */
function refusal(text: string): Buffer {
  const fields = Buffer.from(`SERROR\0C0A000\0M${text}\0\0`);
  const head = Buffer.from([0x45, 0, 0, 0, 0]);
  head.writeInt32BE(fields.length + 4, 1);
  return Buffer.concat([head, fields, Buffer.from([0x5a, 0, 0, 0, 5, 0x49])]);
}

/** Cuts what a server says into messages: a letter, a length that counts itself, the rest. */
function messages(take: (message: Buffer) => void): (chunk: Buffer) => void {
  let buffer = Buffer.alloc(0);
  return (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    while (buffer.length >= 5 && buffer.length > buffer.readInt32BE(1)) {
      const end = buffer.readInt32BE(1) + 1;
      take(buffer.subarray(0, end));
      buffer = buffer.subarray(end);
    }
  };
}

/** @returns its URL, and how many connections it was asked for */
async function startPooler(url: string, kind: Pooler) {
  const target = { host: '127.0.0.1', port: Number(new URL(url).port) };
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((near) => {
    connections += 1;
    const far = connect(target);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('close', () => to.destroy());
      from.on('error', () => to.destroy());
    }
    near.on('data', (chunk) => {
      if (kind === 'refusing' && chunk.includes('listen ')) near.write(refusal('LISTEN is not supported'));
      else far.write(chunk);
    });
    far.on(
      'data',
      messages((message) => {
        const letter = String.fromCharCode(message[0] ?? 0);
        if (letter === 'K') message.writeInt32BE(message.readInt32BE(5) + 1, 5);
        if (letter !== 'A' || kind !== 'transaction') near.write(message);
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const there = new URL(url);
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  there.port = String(address.port);
  return {
    url: there.href,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('hints behind a pooler', () => {
  const QUIET_MS = 2_500;
  const listenTo = (url: string): Store['listen'] => {
    const options = { url, applicationName: 'pooled', pingIntervalMs: 100, answerTimeoutMs: 300 };
    return (handlers, signal) => listen(options, handlers, signal);
  };
  let db: TestDatabase;
  beforeEach(async () => {
    db = await testDatabase();
  });
  afterEach(() => db[Symbol.asyncDispose]());

  it('come through one in session mode', async () => {
    await using pooler = await startPooler(db.url, 'session');
    const recorder = new Recorder(listenTo(pooler.url));
    await recorder.until(['ready']);
    const [receipt] = await db.store.write([apply('a')], ORIGIN);
    await recorder.until(['ready', String(receipt?.id)]);
    await recorder.stop();
  });

  it('are given up where they silently never come: it is said once, and tried again only seldom', async () => {
    await using pooler = await startPooler(db.url, 'transaction');
    const recorder = new Recorder(listenTo(pooler.url));
    await recorder.until(['lost']);
    assert.match(String(recorder.errors[0]?.message), /behind a pooler that lets no hints through.*found by polling/);
    const tried = pooler.connections();
    await sleep(QUIET_MS);
    assert.equal(pooler.connections(), tried);
    assert.deepEqual(recorder.seen, ['lost'], 'never said to be ready');
    const startedAt = performance.now();
    await recorder.stop();
    assert.ok(performance.now() - startedAt < 1_000, 'the long pause ends when nobody listens any more');
  });

  it('are asked for again, but not without end, where LISTEN is refused', async () => {
    await using pooler = await startPooler(db.url, 'refusing');
    const recorder = new Recorder(listenTo(pooler.url));
    await recorder.until(['lost']);
    assert.match(String(recorder.errors[0]?.message), /LISTEN is not supported/);
    await sleep(QUIET_MS);
    assert.deepEqual(recorder.seen, ['lost']);
    assert.ok(pooler.connections() <= 8, `${pooler.connections()} connections`);
    await recorder.stop();
  });
});

describe('a queue of hints that is full', () => {
  it('does not keep a goal from being stored', async () => {
    const server = await startServer('hints', { max_notify_queue_pages: '64' });
    await migrate(server.adminUrl, { appRole: server.appRole });
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
