import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, openDatabase, type PoolOptions } from '../../src/store/pool.ts';
import { sql, startServer, type TestDatabase, testDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';

const OPTIONS = { applicationName: 'pool', maxConnections: 2, connectTimeoutMs: 5_000, statementTimeoutMs: 5_000 };
const INSERT = `insert into bulkhead.replica (id, name, expires_at) values (gen_random_uuid(), $1, 'infinity')`;

let db: TestDatabase;
let pool: Database | undefined;

beforeEach(async () => {
  db = await testDatabase();
});
afterEach(async () => {
  await pool?.close();
  pool = undefined;
  await db[Symbol.asyncDispose]();
});

async function open(options: Partial<PoolOptions> = {}): Promise<Database> {
  pool = await openDatabase({ ...OPTIONS, url: db.url, ...options });
  return pool;
}

const pidOf = async (of: Pick<Database, 'query'>) =>
  (await of.query<{ pid: number }>('select pg_backend_pid() as pid'))[0]?.pid;
const write = (to: Pick<Database, 'query'>, name = 'a') => to.query(INSERT, [name]);
const isOpen = async (pid: number | undefined) =>
  (await sql(db.superuserUrl, 'select from pg_stat_activity where pid = $1', [pid])).length > 0;

describe('a commit that no standby confirms', () => {
  it('is not taken for one that is safe, in a transaction and alone, while reading goes on', async () => {
    const server = await startServer('sync', { synchronous_commit: 'on' });
    await sql(server.superuserUrl, 'create table t (n int)');
    await sql(server.superuserUrl, `alter system set synchronous_standby_names = 'nobody'`);
    await sql(server.superuserUrl, 'select pg_reload_conf()');
    await until('the setting counts', 5_000, async () => {
      const [row] = await sql<{ synchronous_standby_names: string }>(
        server.superuserUrl,
        'show synchronous_standby_names',
      );
      return row?.synchronous_standby_names === 'nobody';
    });
    const there = await open({ url: server.superuserUrl, statementTimeoutMs: 500 });
    const expected = { name: 'StoreError', kind: 'unavailable', message: /no standby confirmed it in time/ };
    await assert.rejects(there.query('insert into t values (1)'), expected);
    await assert.rejects(there.query('insert into t values ($1)', [2]), expected, 'with parameters too');
    await assert.rejects(
      there.transaction((tx) => tx.query('insert into t values ($1)', [3])),
      expected,
    );
    assert.deepEqual(
      await there.query('select n from t order by n'),
      [{ n: 1 }, { n: 2 }, { n: 3 }],
      'they are stored',
    );
    assert.deepEqual(await there.transaction((tx) => tx.query('select count(*)::int as n from t')), [{ n: 3 }]);
  });
});

describe('what Postgres says', () => {
  const said: readonly (readonly [string, string, RegExp])[] = [
    ['23001', 'invalid', /^The store refuses this: told so\.$/],
    ['25P04', 'unavailable', /stood still for too long: try again/],
    ['42883', 'configuration', /is not set up for this Bulkhead .*run "bulkhead migrate"/],
    ['55P03', 'unavailable', /under a lock of somebody else: try again/],
    ['57P02', 'unavailable', /crashed and starts again/],
    ['57P05', 'unavailable', /stood still for too long: try again/],
  ];
  for (const [code, kind, message] of said) {
    it(`by ${code} is said as ${kind}, with what to do`, async () => {
      const there = await open();
      const raised = there.query(`do $$ begin raise exception 'told so' using errcode = '${code}'; end $$`);
      await assert.rejects(raised, { name: 'StoreError', kind, message });
    });
  }
});

describe('a transaction', () => {
  it('that Postgres rolls back at its end does not pass for a commit', async () => {
    const there = await open();
    const swallowed = there.transaction(async (tx) => {
      await write(tx);
      await tx.query('select 1 / 0').catch(() => undefined);
    });
    await assert.rejects(swallowed, { kind: 'unavailable', message: /rolled the change back/ });
    assert.deepEqual(await there.query('select from bulkhead.replica'), []);
  });

  it('that stands still is ended by the server, which says why', async () => {
    const there = await open({ statementTimeoutMs: 300 });
    const still = there.transaction(async (tx) => {
      await write(tx);
      await sleep(800);
      await write(tx);
    });
    await assert.rejects(still, { kind: 'unavailable', message: /stood still for too long/ });
    assert.deepEqual(await there.query('select from bulkhead.replica'), []);
  });
});

describe('a pool', () => {
  it('that is used up lets callers wait, but not for ever, and says so', async () => {
    const there = await open({ maxConnections: 1, connectTimeoutMs: 400 });
    let finish: (() => void) | undefined;
    const busy = there.transaction((tx) =>
      tx.query('select 1').then(
        () =>
          new Promise<void>((resolve) => {
            finish = resolve;
          }),
      ),
    );
    await until('the connection is in use', 5_000, () => finish);
    await assert.rejects(there.query('select 1'), {
      kind: 'unavailable',
      message: /No connection to .* came free in time/,
    });
    const waiting = there.query<{ n: number }>('select 1 as n');
    finish?.();
    assert.deepEqual(await waiting, [{ n: 1 }], 'who waits is served when there is one');
    await busy;
  });

  it('keeps a connection whose statement was refused, but none that failed itself or has a transaction open', async () => {
    const there = await open({ maxConnections: 1, statementTimeoutMs: 1_000 });
    const pid = await pidOf(there);
    const fails = (text: string, ...values: unknown[]) =>
      assert.rejects(there.query(text, values), { name: 'StoreError' });
    await fails('select 1 / 0');
    await fails('select 1 / $1::int', 0);
    await fails('no sql');
    await fails('select pg_sleep(2)');
    assert.equal(await pidOf(there), pid, 'an error, or a time-out of the server, ends the statement alone');
    assert.deepEqual(await there.transaction((tx) => tx.query('select 1 as n')), [{ n: 1 }]);
    await assert.rejects(there.transaction((tx) => tx.query('select 1 / 0')));
    const second = await pidOf(there);
    assert.notEqual(second, pid, 'a transaction that failed is rolled back by closing');
    await fails('select pg_terminate_backend(pg_backend_pid())');
    assert.notEqual(await pidOf(there), second, 'what is lost is not used again');
  });

  it('begins anew when told to: what is idle is closed at once, what is busy when it has ended', async () => {
    const there = await open();
    let idle: number | undefined;
    const busy = await there.transaction(async (tx) => {
      await write(tx);
      idle = await pidOf(there);
      const pid = await pidOf(tx);
      assert.notEqual(pid, idle);
      there.reset();
      await until('the idle one is closed', 5_000, async () => !(await isOpen(idle)));
      const next = await pidOf(there);
      assert.ok(next !== pid && next !== idle);
      await write(tx, 'b');
      return pid;
    });
    await until('the busy one is closed', 5_000, async () => !(await isOpen(busy)));
    assert.equal((await there.query('select from bulkhead.replica')).length, 2, 'its work was finished');
  });

  it('looks for another server by itself when its own turns out to be read-only', async () => {
    const there = await open({ maxConnections: 1 });
    const name = new URL(db.url).pathname.slice(1);
    const elsewhere = db.superuserUrl.replace(/[^/]*$/, 'postgres');
    await sql(elsewhere, `alter database ${name} set default_transaction_read_only = on`);
    there.reset();
    const standby = await pidOf(there);
    await assert.rejects(write(there), { kind: 'unavailable', message: /read-only, as a standby is/ });
    await sql(elsewhere, `alter database ${name} reset default_transaction_read_only`);
    await until('the read-only one is left', 5_000, async () => !(await isOpen(standby)));
    await write(there);
    await there.transaction((tx) => write(tx, 'b'));
    assert.equal((await there.query('select from bulkhead.replica')).length, 2);
  });

  it('closes at once, also with connections that it has left but that are still busy', async () => {
    const there = await open();
    const lost = assert.rejects(
      there.transaction(async (tx) => {
        there.reset();
        await tx.query('select pg_sleep(4)');
      }),
      { kind: 'unavailable' },
    );
    await sleep(200);
    await there.close();
    await lost;
  });
});
