import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { revision } from '../../src/job/ids.ts';
import { type ChangeOrigin, type GoalChange, StoreError, type StoreErrorKind } from '../../src/ports/store.ts';
import { findFreePort } from '../../src/store/embedded/port.ts';
import { describeTarget, toStoreError } from '../../src/store/errors.ts';
import { openStore, type Store } from '../../src/store/open.ts';
import { emptyDatabase, sql, type TestDatabase, testDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/proxy.ts';
import { targetOf, WireProxy } from '../support/wire.ts';

const open = (url: string) => openStore({ url, applicationName: 'test' });

function changed(url: string, change: (parts: URL) => void): string {
  const parts = new URL(url);
  change(parts);
  return parts.href;
}

/** What a person would read: one sentence, the remedy in it, no password and no stack. */
async function rejectsWith(work: Promise<unknown>, kind: StoreErrorKind, pattern: RegExp, url: string): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof StoreError, String(error));
    assert.match(error.message, pattern);
    assert.equal(error.kind, kind, error.message);
    const { password } = new URL(url);
    assert.ok(!error.message.includes(password), 'the password is never shown');
    assert.ok(!error.message.includes('\n'), error.message);
    return true;
  });
}

describe('what a person reads when the database cannot be used', () => {
  let db: TestDatabase;
  before(async () => {
    db = await testDatabase();
  });
  after(() => db[Symbol.asyncDispose]());

  it('because nothing listens there', async () => {
    const port = await findFreePort();
    const url = changed(db.url, (u) => {
      u.port = String(port);
    });
    await rejectsWith(
      open(url),
      'unavailable',
      /refuses the connection: start the server, or correct DATABASE_URL/,
      url,
    );
  });

  it('because something listens there and never answers', { timeout: 30_000 }, async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    assert.ok(address !== null && typeof address === 'object');
    const url = changed(db.url, (u) => {
      u.port = String(address.port);
    });
    await rejectsWith(open(url), 'unavailable', /does not answer: check/, url);
    silent.close();
  });

  it('because the host has no address', async () => {
    const url = changed(db.url, (u) => {
      u.hostname = 'no-such-host.invalid';
    });
    await rejectsWith(open(url), 'unavailable', /has no address|could not be looked up/, url);
  });

  it('because the password is wrong, or missing', async () => {
    const wrong = changed(db.url, (u) => {
      u.password = 'guessed';
    });
    await rejectsWith(open(wrong), 'configuration', /refuses the password: correct the one in DATABASE_URL/, wrong);
    const missing = changed(db.url, (u) => {
      u.password = '';
    });
    await assert.rejects(open(missing), { kind: 'configuration', message: /refuses the password/ });
  });

  it('because there is no such database', async () => {
    const url = changed(db.url, (u) => {
      u.pathname = '/nowhere';
    });
    await rejectsWith(open(url), 'configuration', /nowhere.*there is no such database. Make it/, url);
  });

  it('because it speaks no TLS', async () => {
    const url = `${db.url}?sslmode=require`;
    await rejectsWith(open(url), 'configuration', /speaks no TLS: use sslmode=disable/, url);
  });

  it('because the URL is none', async () => {
    for (const url of ['mysql://u:secret@h/d', 'postgres://u:p#w@h:5432/d']) {
      await assert.rejects(open(url), { kind: 'configuration', message: /DATABASE_URL is not usable/ });
    }
  });

  it('because it has no connection left', async () => {
    const full = await emptyDatabase();
    await sql(db.superuserUrl, `alter database ${full.name} connection limit 0`);
    await rejectsWith(open(full.url), 'unavailable', /no connection left: close some/, full.url);
  });

  it('because it is read-only, as a standby is', async () => {
    const standby = await testDatabase();
    await sql(
      standby.superuserUrl,
      `alter role bulkhead_app in database ${new URL(standby.url).pathname.slice(1)} set default_transaction_read_only = on`,
    );
    const store = await open(standby.url);
    const change = {
      job: { tenant: 'a', name: 'b' },
      content: { kind: 'spec', spec: { container: { image: 'c' } } },
    } as const;
    const written = store.write([change], { author: 'ann', source: 'cli', reason: null });
    await rejectsWith(written, 'unavailable', /read-only.*point DATABASE_URL at the primary/, standby.url);
    await store.close();
    await standby[Symbol.asyncDispose]();
  });

  it('because a statement takes too long: it is cancelled, and the store goes on', async () => {
    const store = await openStore({ url: db.url, applicationName: 'test', statementTimeoutMs: 300 });
    const locker = new pg.Client({ connectionString: db.adminUrl });
    await locker.connect();
    await locker.query('begin');
    await locker.query('lock table bulkhead.goal_head');
    await rejectsWith(store.heads(), 'unavailable', /took too long/, db.url);
    await locker.query('rollback');
    await locker.end();
    assert.deepEqual(await store.heads(), []);
    await store.close();
  });

  it('because its disk is full, or a job is unknown: by the codes that Postgres gives', () => {
    const target = describeTarget('postgres://me:secret@db.example:5433/goals');
    assert.equal(target, 'Postgres at db.example:5433 (database goals, user me)');
    const full = toStoreError(Object.assign(new Error('could not extend file'), { code: '53100' }), target);
    assert.match(full.message, /no space left on its disk/);
    const unknown = toStoreError(Object.assign(new Error('boom'), { code: 'XX000' }), target);
    assert.equal(unknown.message, `${target} failed: boom (XX000).`);
    assert.equal(toStoreError(full, 'elsewhere'), full, 'what was explained is not explained again');
  });
});

describe('a store whose connections break', () => {
  let db: TestDatabase;
  let proxy: TcpProxy;
  let store: Store;
  before(async () => {
    db = await testDatabase();
    proxy = await TcpProxy.to({ host: '127.0.0.1', port: Number(new URL(db.url).port) });
    store = await openStore({ url: proxy.urlFor(db.url), applicationName: 'test', statementTimeoutMs: 200 });
  });
  after(async () => {
    await store.close();
    await proxy[Symbol.asyncDispose]();
    await db[Symbol.asyncDispose]();
  });

  it('makes new ones by itself', async () => {
    await store.heads();
    proxy.dropAll();
    await sleep(50);
    assert.deepEqual(await store.heads(), []);
  });

  it('gives up on one whose other end has vanished, and goes on when it is back', { timeout: 30_000 }, async () => {
    proxy.freeze();
    await rejectsWith(store.heads(), 'unavailable', /does not answer/, db.url);
    proxy.thaw();
    assert.deepEqual(await store.heads(), []);
  });

  it('closes in bounded time, also when nobody answers any more', { timeout: 30_000 }, async () => {
    const other = await openStore({ url: proxy.urlFor(db.url), applicationName: 'test', statementTimeoutMs: 60_000 });
    proxy.freeze();
    const startedAt = performance.now();
    const asked = assert.rejects(other.heads(), { kind: 'unavailable' });
    await sleep(50);
    await other.close();
    await asked;
    assert.ok(performance.now() - startedAt < 5_000);
    proxy.thaw();
  });
});

const ORIGIN: ChangeOrigin = { author: 'ann', source: 'cli', reason: null };
const apply = (name: string, image = 'app:1', tenant = 'ads'): GoalChange => ({
  job: { tenant, name },
  content: { kind: 'spec', spec: { container: { image } } },
});

describe('a write whose answer is lost', () => {
  let db: TestDatabase;
  let proxy: WireProxy;
  let store: Store;
  /** What becomes of the writes to come, one each: `before` the server sees it, `after` it has done it. */
  let cuts: ('before' | 'after')[] = [];
  before(async () => {
    db = await testDatabase();
    proxy = await WireProxy.to(targetOf(db.url), {
      isWrite: (statement) => statement.includes('insert into bulkhead.idempotency'),
      before: () => (cuts[0] === 'before' && cuts.shift() ? 'cut' : 'pass'),
      after: () => (cuts.shift() === 'after' ? 'cut' : 'pass'),
    });
    store = await openStore({ url: proxy.urlFor(db.url), applicationName: 'test' });
  });
  after(async () => {
    await store.close();
    await proxy[Symbol.asyncDispose]();
    await db[Symbol.asyncDispose]();
  });

  for (const plan of [['before'], ['after'], ['before', 'before'], ['before', 'after']] as const) {
    it(`${plan.join(', then ')} it is done is sent again until it is known, and happens once`, async () => {
      const name = plan.join('-');
      const changes = [apply(name), apply(name, 'app:1', 'other')];
      cuts = [...plan];
      const receipts = await store.write(changes, ORIGIN);
      assert.deepEqual(cuts, [], 'every cut was met');
      assert.deepEqual(
        receipts.map((r) => [r.outcome, r.revision, r.job.tenant]),
        [
          ['created', 1, 'ads'],
          ['created', 1, 'other'],
        ],
      );
      const there = await store.goals(receipts.flatMap((r) => r.id ?? []));
      assert.deepEqual(
        there.map((goal) => goal.revision),
        [1, 1],
      );
      cuts = [...plan];
      const [changed] = await store.write([apply(name, 'app:2')], ORIGIN);
      assert.deepEqual([changed?.outcome, changed?.revision], ['configured', 2]);
      cuts = [...plan];
      const platform = { tenant: name, content: { defaults: {}, limits: {} } };
      assert.deepEqual(await store.writePlatform(platform, ORIGIN), { tenant: name, revision: 1, outcome: 'created' });
    });
  }

  it('is not taken for a stale one when it was made from a base: it finds its own change', async () => {
    await store.write([apply('based')], ORIGIN);
    cuts = ['after'];
    const [receipt] = await store.write([{ ...apply('based', 'app:2'), base: revision(1) }], ORIGIN);
    assert.deepEqual([receipt?.outcome, receipt?.revision], ['configured', 2]);
  });

  it('for good says so after a while, and with the key that makes it safe to send again', {
    timeout: 60_000,
  }, async () => {
    const lonely = await WireProxy.to(targetOf(db.url), {
      isWrite: (statement) => statement.includes('insert into bulkhead.idempotency'),
      after: () => {
        lonely.target = { host: '127.0.0.1', port: 1 };
        return 'cut';
      },
    });
    const cutOff = await openStore({ url: lonely.urlFor(db.url), applicationName: 'test' });
    const startedAt = performance.now();
    await assert.rejects(cutOff.write([apply('lonely')], { ...ORIGIN, idempotencyKey: 'my-key' }), (error) => {
      assert.ok(error instanceof StoreError);
      assert.equal(error.kind, 'unavailable');
      assert.match(
        error.message,
        /is not certain: send it again with the idempotency key my-key, which stores it once/,
      );
      return true;
    });
    assert.ok(performance.now() - startedAt < 15_000);
    await cutOff.close();
    await lonely[Symbol.asyncDispose]();
    const [receipt] = await store.write([apply('lonely')], { ...ORIGIN, idempotencyKey: 'my-key' });
    assert.deepEqual([receipt?.outcome, receipt?.revision], ['created', 1], 'the first answer, given at last');
  });

  it('that the server has refused is not sent again', async () => {
    const before = proxy.counts.forwarded;
    await assert.rejects(store.write([apply('a NUL: \0')], ORIGIN), { kind: 'configuration' });
    assert.ok(proxy.counts.forwarded - before <= 1);
  });
});
