import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { StoreError, type StoreErrorKind } from '../../src/ports/store.ts';
import { findFreePort } from '../../src/store/embedded/port.ts';
import { describeTarget, toStoreError } from '../../src/store/errors.ts';
import { type Migration, migrate, readMigrations } from '../../src/store/migrate.ts';
import { openStore, type Store } from '../../src/store/open.ts';
import { emptyDatabase, sql, type TestDatabase, testDatabase } from '../support/postgres.ts';
import { TcpProxy } from '../support/proxy.ts';

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
      `alter role bulkhead in database ${new URL(standby.url).pathname.slice(1)} set default_transaction_read_only = on`,
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
    const locker = new pg.Client({ connectionString: db.url });
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

describe('the schema', () => {
  it('of a database that was not migrated is asked for', async () => {
    const { url } = await emptyDatabase();
    await rejectsWith(open(url), 'configuration', /run "bulkhead migrate"/, url);
  });

  it('is brought up to date once, also when several do it at the same time, and says what was applied', async () => {
    const { url } = await emptyDatabase();
    const applied = await Promise.all([migrate(url), migrate(url), migrate(url)]);
    assert.deepEqual(
      applied.flat(),
      (await readMigrations()).map((m) => m.name),
    );
    assert.deepEqual(await migrate(url), []);
    const store = await open(url);
    assert.match(store.storeId, /^[0-9a-f-]{36}$/);
    await store.close();
  });

  it('explains itself: every table has a comment', async () => {
    const { url } = await emptyDatabase();
    await migrate(url);
    const silent = await sql(
      url,
      `select relname from pg_class where relnamespace = 'bulkhead'::regnamespace and relkind = 'r' and obj_description(oid) is null`,
    );
    assert.deepEqual(silent, []);
  });

  it('that a newer Bulkhead made is refused, by opening and by migrating', async () => {
    await using db = await testDatabase();
    await sql(db.url, `insert into bulkhead.migration (version, name, hash) values (9999, '9999_later.sql', 'x')`);
    const newer = /was set up by a newer Bulkhead \(schema 9999; this one knows up to \d+\): upgrade Bulkhead/;
    await rejectsWith(open(db.url), 'configuration', newer, db.url);
    await rejectsWith(migrate(db.url), 'configuration', newer, db.url);
  });

  it('that was made by another form of a file is refused', async () => {
    await using db = await testDatabase();
    await sql(db.url, `update bulkhead.migration set hash = 'other' where version = 1`);
    await rejectsWith(open(db.url), 'configuration', /another form of 0001_goals\.sql/, db.url);
  });

  it('keeps nothing of a migration that fails, and goes on from there', async () => {
    const { url } = await emptyDatabase();
    const known = await readMigrations();
    const version = known.length + 1;
    const withNext = (text: string): Migration[] => [...known, { version, name: 'next.sql', sql: text, hash: text }];
    await assert.rejects(migrate(url, withNext('create table bulkhead.half (); select 1 / 0')), StoreError);
    const [half] = await sql<{ there: boolean }>(url, `select to_regclass('bulkhead.half') is not null as there`);
    assert.equal(half?.there, false);
    assert.deepEqual(await migrate(url, withNext('create table bulkhead.whole ()')), ['next.sql']);
  });

  it('cannot be made by a role without the right to: the sentence says which right', async () => {
    const { url, superuserUrl, name } = await emptyDatabase();
    await sql(superuserUrl, `alter database ${name} owner to postgres`);
    await rejectsWith(migrate(url), 'configuration', /denies the right.*use the database's owner, or grant it/, url);
  });
});
