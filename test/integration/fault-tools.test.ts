import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { wrongClock } from '../support/faketime.ts';
import { emptyDatabase, sql } from '../support/postgres.ts';
import { spawnBound } from '../support/processes.ts';
import { type PostgresPair, postgresPair } from '../support/standby.ts';
import { targetOf, type WireHooks, WireProxy } from '../support/wire.ts';

/** The tools that make faults do what they say: without that, a scenario that passes says nothing. */

let url: string;

before(async () => {
  const database = await emptyDatabase();
  url = database.adminUrl;
  await sql(url, 'create table t (n int)');
});

const count = async (): Promise<number> => Number((await sql<{ n: string }>(url, 'select count(*) n from t'))[0]?.n);

async function inTransaction(through: string, n: number): Promise<'committed' | 'broken'> {
  const client = new pg.Client({ connectionString: through, application_name: 'writer' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('begin');
    await client.query('insert into t values ($1)', [n]);
    await client.query('commit');
    return 'committed';
  } catch {
    return 'broken';
  } finally {
    await client.end().catch(() => undefined);
  }
}

const cases: readonly [what: string, hooks: WireHooks, outcome: string, rows: number, counts: object][] = [
  ['a commit that passes is counted once', {}, 'committed', 1, { forwarded: 1, landed: 1 }],
  [
    'a commit cut before the server hears of it does not land',
    { before: () => 'cut' },
    'broken',
    0,
    { forwarded: 0, landed: 0 },
  ],
  [
    'a commit cut after the answer has landed, and the client does not know',
    { after: () => 'cut' },
    'broken',
    1,
    { forwarded: 1, landed: 1 },
  ],
];

for (const [what, hooks, outcome, rows, counts] of cases) {
  test(what, async () => {
    await sql(url, 'truncate t');
    const seen: string[] = [];
    await using proxy = await WireProxy.to(targetOf(url), { ...hooks, onStatement: (s) => seen.push(s) });
    assert.equal(await inTransaction(proxy.urlFor(url), 7), outcome);
    assert.deepEqual([await count(), proxy.counts], [rows, counts]);
    assert.deepEqual(seen, ['begin', 'insert into t values ($1)', 'commit']);
  });
}

test('a commit that the server answers with a rollback has not landed, and a write without a transaction can be stopped too', async () => {
  await sql(url, 'truncate t');
  const answers: object[] = [];
  await using proxy = await WireProxy.to(targetOf(url), {
    isWrite: (statement) => statement.startsWith('insert'),
    after: (_write, answer) => {
      answers.push(answer);
      return 'pass';
    },
  });
  const client = new pg.Client({ connectionString: proxy.urlFor(url), application_name: 'writer' });
  await client.connect();
  await client.query('begin');
  await assert.rejects(client.query('insert into t values (1 / 0)'));
  await client.query('commit');
  await client.query('insert into t values ($1) returning n', [1]);
  await assert.rejects(client.query('insert into t values (1 / 0)'));
  await client.end();
  assert.deepEqual(answers, [
    { landed: false, value: null },
    { landed: true, value: '1' },
    { landed: false, value: null },
  ]);
});

test('one connection can fall silent while the others go on', async () => {
  await using proxy = await WireProxy.to(targetOf(url));
  const open = async (application_name: string) => {
    const client = new pg.Client({ connectionString: proxy.urlFor(url), application_name, query_timeout: 500 });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const [one, two] = [await open('one'), await open('two')];
  for (const connection of proxy.connections) if (connection.applicationName === 'one') connection.freeze();
  await assert.rejects(one.query('select 1'), /timeout/);
  assert.equal((await two.query('select 2 as n')).rows[0].n, 2);
  proxy.dropAll();
});

const CLOCKS = `const [d, p] = [Date.now(), performance.now()]; setTimeout(() => console.log(JSON.stringify({
  date: Date.now() - d, monotonic: performance.now() - p, now: Date.now() })), 1000)`;

async function clocks(fault: Parameters<typeof wrongClock>[0]) {
  const env = { ...process.env, ...(await wrongClock(fault)) };
  const startedAt = performance.now();
  const child = spawnBound([process.execPath, '-e', CLOCKS], { env, stdout: 'pipe' });
  let out = '';
  child.stdout?.on('data', (chunk) => {
    out += String(chunk);
  });
  await new Promise((resolve) => child.once('close', resolve));
  const told = JSON.parse(out) as { date: number; monotonic: number; now: number };
  return { ...told, realMs: performance.now() - startedAt };
}

test('a clock that is an hour off keeps its rate, and one of double rate takes the timers along', async () => {
  const ahead = await clocks({ kind: 'offset', hours: 1 });
  assert.ok(Math.abs(ahead.now - Date.now() - 3_600_000) < 60_000, JSON.stringify(ahead));
  assert.ok(ahead.realMs >= 990 && Math.abs(ahead.monotonic - 1_000) < 100, JSON.stringify(ahead));
  const fast = await clocks({ kind: 'rate', factor: 2 });
  assert.ok(fast.realMs < 950 && Math.abs(fast.monotonic - 1_000) < 100, JSON.stringify(fast));
});

test('a pair: what the primary has answered is on the standby, and once that is promoted the old one answers no write', async () => {
  const pair: PostgresPair = await postgresPair('tools');
  after(() => pair[Symbol.asyncDispose]());
  await sql(pair.primary.adminUrl, 'create table t (n int)');
  await sql(pair.primary.adminUrl, `grant all on t to ${pair.primary.appRole}`);
  await sql(pair.url, 'insert into t values (1)');
  assert.equal((await sql(pair.standby.superuserUrl, 'select * from t')).length, 1);
  await assert.rejects(sql(pair.standby.url, 'insert into t values (2)'), /read-only/);
  const stayed = new pg.Client({ connectionString: pair.url });
  stayed.on('error', () => undefined);
  await stayed.connect();
  await pair.promote();
  const late = stayed.query('insert into t values (3)').then(
    () => 'answered',
    () => 'broken',
  );
  pair.switchOver();
  await sql(pair.url, 'insert into t values (4)');
  assert.deepEqual(await sql(pair.url, 'select n from t order by n'), [{ n: 1 }, { n: 4 }]);
  const lines = 'select timeline_id from pg_control_checkpoint()';
  await sql(pair.standby.superuserUrl, 'checkpoint');
  assert.deepEqual(await sql(pair.standby.superuserUrl, lines), [{ timeline_id: 2 }]);
  pair.address.dropAll();
  assert.equal(await late, 'broken');
});
