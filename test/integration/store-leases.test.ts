import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type ClusterId, clusterId, type ReplicaId, replicaId, shard } from '../../src/job/ids.ts';
import type { Fence, Standing } from '../../src/ports/shards.ts';
import { eligible, heartbeat, shareOf, whenServerChanges } from '../../src/store/leases.ts';
import { type Database, openDatabase } from '../../src/store/pool.ts';
import { sql, type TestDatabase, testDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';

const LONG_MS = 60_000;
const OPTIONS = { applicationName: 'test', maxConnections: 1, connectTimeoutMs: 5_000, statementTimeoutMs: 5_000 };
const ANN = replicaId('00000000-0000-4000-8000-00000000000a');
const BOB = replicaId('00000000-0000-4000-8000-00000000000b');
const CEM = replicaId('00000000-0000-4000-8000-00000000000c');
const CLUSTER = clusterId('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa');

let db: TestDatabase;

beforeEach(async () => {
  db = await testDatabase();
});
afterEach(() => db[Symbol.asyncDispose]());

const beat = (id: ReplicaId, ttlMs = LONG_MS): Promise<Standing> =>
  db.store.heartbeat({ id, name: `replica ${id.at(-1)}`, clusterId: null }, ttlMs);
const admin = <Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
  sql<Row>(db.superuserUrl, text, values);
const expire = (id: ReplicaId) =>
  admin('update bulkhead.replica set expires_at = clock_timestamp() where id = $1', [id]);
const sizes = (...standings: Standing[]) => standings.map(({ fences }) => fences.length);
const shardsOf = ({ fences }: Standing) => fences.map((fence) => fence.shard);
/** The number that all these fences carry. */
const numberOf = ({ fences }: Standing): number => {
  const numbers = new Set(fences.map((fence) => fence.epoch.n));
  assert.equal(numbers.size, 1);
  return [...numbers][0] ?? 0;
};

/** A connection of its own, to hold locks with. */
async function session(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: db.superuserUrl });
  await client.connect();
  return client;
}

describe('a replica', () => {
  it('that is alone has all shards, and renews them under the same epochs', async () => {
    const first = await beat(ANN);
    assert.deepEqual([first.fences.length, first.surplus, first.replicas], [256, 0, 1]);
    assert.deepEqual(await beat(ANN), first);
  });

  it('names in its epochs the database that it met', async () => {
    const [server] = await admin<{ system: string; timeline: number }>(
      'select system_identifier::text as system, timeline_id as timeline from pg_control_system(), pg_control_checkpoint()',
    );
    const { fences } = await beat(ANN);
    assert.deepEqual(fences[7]?.epoch, { ...server, n: 1 });
  });

  it('is followed only after the end of its lease by the clock of the database, under higher epochs', async () => {
    const old = await beat(ANN, 600);
    assert.deepEqual(sizes(await beat(BOB)), [0]);
    await admin(`select pg_sleep_until(expires_at - interval '150 ms') from bulkhead.replica where id = $1`, [ANN]);
    assert.deepEqual(sizes(await beat(BOB)), [0], 'not a moment early');
    await admin('select pg_sleep_until(expires_at) from bulkhead.replica where id = $1', [ANN]);
    const next = await beat(BOB);
    assert.deepEqual([next.fences.length, next.replicas], [256, 1]);
    assert.equal(numberOf(next), numberOf(old) + 1);
  });

  it('whose lease has run out keeps everything under the same epochs while nobody else wants it', async () => {
    const first = await beat(ANN);
    await expire(ANN);
    assert.deepEqual(await beat(ANN), first);
  });

  it('that is as good as dead does not count, and does when it comes back', async () => {
    await beat(ANN);
    await beat(BOB);
    await expire(BOB);
    assert.deepEqual([(await beat(ANN)).surplus, (await beat(ANN)).replicas], [0, 1]);
    assert.equal((await beat(BOB)).replicas, 2);
    assert.equal((await beat(ANN)).surplus, 128);
  });

  it('gives shards back for others to claim at once; what is somebody else’s by then is not touched', async () => {
    const ann = await beat(ANN);
    const surplus = shardsOf(ann).slice(128);
    await beat(BOB);
    await db.store.yieldShards(ANN, surplus);
    const bob = await beat(BOB);
    assert.deepEqual(shardsOf(bob), surplus);
    assert.equal(numberOf(bob), 2);
    await db.store.yieldShards(ANN, surplus);
    assert.deepEqual(await beat(BOB), bob, 'a late word changes nothing');
  });

  it('that leaves frees everything at once and is gone', async () => {
    await beat(ANN);
    await db.store.leave(ANN);
    assert.deepEqual(await db.store.replicas(), []);
    assert.deepEqual(sizes(await beat(BOB)), [256]);
    await db.store.leave(ANN);
    assert.deepEqual(sizes(await beat(BOB)), [256], 'leaving twice takes nothing from others');
  });

  it('gets no lease of a server that only reads, and says so', async () => {
    const name = new URL(db.url).pathname.slice(1);
    const elsewhere = db.superuserUrl.replace(/[^/]*$/, 'postgres');
    await sql(elsewhere, `alter database ${name} set default_transaction_read_only = on`);
    await assert.rejects(beat(ANN), { name: 'StoreError', kind: 'unavailable', message: /read-only/ });
    await sql(elsewhere, `alter database ${name} reset default_transaction_read_only`);
    assert.deepEqual(sizes(await beat(ANN)), [256], 'and the next heartbeat meets the one that writes');
  });

  it('that died without shards is forgotten after a while, and may come back', async () => {
    await beat(ANN);
    await beat(BOB);
    await admin(`update bulkhead.replica set expires_at = clock_timestamp() - interval '59 minutes' where id = $1`, [
      BOB,
    ]);
    await beat(ANN);
    const names = async () =>
      (await admin<{ name: string }>('select name from bulkhead.replica order by name')).map(({ name }) => name);
    assert.deepEqual(await names(), ['replica a', 'replica b']);
    await admin(`update bulkhead.replica set expires_at = expires_at - interval '2 minutes' where id = $1`, [BOB]);
    await beat(ANN);
    assert.deepEqual(await names(), ['replica a']);
    assert.equal((await beat(BOB)).replicas, 2);
  });
});

describe('many replicas at the same time', () => {
  it('take each shard once', async () => {
    const ids = [1, 2, 3, 4, 5].map((n) => replicaId(`00000000-0000-4000-8000-00000000000${n}`));
    const standings = await Promise.all(ids.map((id) => beat(id)));
    const taken = standings.flatMap(shardsOf);
    assert.equal(taken.length, new Set(taken).size);
  });

  it('follow a dead one without its late renewal coming in between: it waits and sees what it lost', async () => {
    await beat(ANN);
    await expire(ANN);
    const own = await openDatabase({ ...OPTIONS, url: db.url });
    let goOn = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    let isClaiming = false;
    // Stops in the middle of its claim, when it has found out who is dead.
    const slow: Database = {
      ...own,
      query: (text, values) => own.query(text, values),
      transaction: (work) =>
        own.transaction((tx) =>
          work({
            query: async <Row>(text: string, values?: readonly unknown[]) => {
              if (isClaiming) await gate;
              isClaiming = true;
              return await tx.query<Row>(text, values);
            },
          }),
        ),
    };
    const claim = heartbeat(slow, { id: BOB, name: 'b', clusterId: null }, LONG_MS);
    await until('the claim is in the middle', 5_000, () => isClaiming);
    let isBack = false;
    const late = beat(ANN).then((standing) => {
      isBack = true;
      return standing;
    });
    await sleep(300);
    assert.equal(isBack, false, 'a renewal waits for who is claiming');
    goOn();
    assert.deepEqual(sizes(await claim), [256]);
    assert.deepEqual(sizes(await late), [0]);
    await own.close();
  });

  it('leave a renewal that came first alone: who was late and first keeps all', async () => {
    const ann = await beat(ANN);
    await expire(ANN);
    const renewal = await session();
    await renewal.query('begin');
    await renewal.query(`update bulkhead.replica set expires_at = 'infinity' where id = $1`, [ANN]);
    assert.deepEqual(sizes(await beat(BOB)), [0], 'nobody waits for it either');
    await renewal.query('commit');
    await renewal.end();
    assert.deepEqual((await beat(ANN)).fences, ann.fences);
  });

  it('are not held up by one that stopped in the middle of a write: its shard is left for later', async () => {
    await beat(ANN);
    await expire(ANN);
    const writer = await session();
    await writer.query('begin');
    await writer.query('select from bulkhead.shard where id = 3 for key share');
    const bob = await beat(BOB);
    assert.equal(bob.fences.length, 255);
    assert.ok(!shardsOf(bob).includes(shard(3)));
    await writer.query('rollback');
    await writer.end();
    assert.deepEqual(sizes(await beat(BOB)), [256]);
  });

  it('wait to claim for a write under a shard that was given back meanwhile', async () => {
    await beat(ANN);
    const writer = await session();
    await writer.query('begin');
    await writer.query('select from bulkhead.shard where id = 3 and owner = $1 for key share', [ANN]);
    await db.store.yieldShards(ANN, [shard(3)]);
    await expire(ANN);
    assert.ok(!shardsOf(await beat(BOB)).includes(shard(3)), 'the lock holds for the newer version of the row too');
    await writer.query('commit');
    await writer.end();
    assert.ok(shardsOf(await beat(BOB)).includes(shard(3)));
  });
});

describe('a replica without the cluster', () => {
  const beatAt = (id: ReplicaId, cluster: ClusterId | null) =>
    db.store.heartbeat({ id, name: `replica ${id.at(-1)}`, clusterId: cluster }, LONG_MS);
  /** As if ten seconds had gone by. */
  const wait = () => admin(`update bulkhead.replica set unconnected_since = unconnected_since - interval '10 seconds'`);
  const where = new Map<ReplicaId, ClusterId | null>();
  /** Everybody a few times, each giving back what is too much. @returns how many shards each has */
  async function settle(): Promise<number[]> {
    for (let round = 0; round < 4; round += 1) {
      for (const [id, cluster] of where) {
        const { fences, surplus } = await beatAt(id, cluster);
        await db.store.yieldShards(
          id,
          fences.slice(fences.length - surplus).map((fence) => fence.shard),
        );
      }
    }
    return sizes(...(await Promise.all([...where].map(([id, cluster]) => beatAt(id, cluster)))));
  }

  beforeEach(async () => {
    for (const id of [ANN, BOB, CEM]) where.set(id, CLUSTER);
    const zero = (await beatAt(ANN, CLUSTER)).fences[0] ?? assert.fail('no shard 0');
    await db.store.recordCluster(zero, {
      id: CLUSTER,
      contextName: 'kind',
      server: 'https://one',
      caCertificate: null,
    });
    assert.deepEqual((await settle()).toSorted(), [85, 85, 86]);
  });

  for (const [why, lost] of [
    ['is not connected', null],
    ['is connected to another one', clusterId('bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb')],
  ] as const) {
    it(`because it ${why} keeps its shards for a while, then the others serve them, then it gets its share back`, async () => {
      const before = await settle();
      where.set(ANN, lost);
      assert.deepEqual(await settle(), before, 'most come back sooner');
      await wait();
      const { surplus, replicas, fences } = await beatAt(ANN, lost);
      assert.deepEqual([surplus, replicas], [fences.length, 3], 'shard 0 with the rest');
      assert.deepEqual(await settle(), [0, 128, 128]);
      assert.deepEqual(await settle(), [0, 128, 128]);
      where.set(ANN, CLUSTER);
      assert.deepEqual((await settle()).toSorted(), [85, 85, 86]);
    });
  }

  it('as all are keeps what it has: moving it would help no job', async () => {
    const before = await settle();
    for (const id of [ANN, BOB, CEM]) {
      where.set(id, null);
      // Nobody is left that could do better, though they did not lose it at the same moment.
      if (id !== CEM) await beatAt(id, null);
    }
    const epochs = await admin('select id, epoch from bulkhead.shard order by id');
    await beatAt(CEM, null);
    await admin(
      `update bulkhead.replica set unconnected_since = unconnected_since - interval '10 seconds' where id = $1`,
      [ANN],
    );
    assert.deepEqual(await settle(), before);
    await wait();
    assert.deepEqual(await settle(), before);
    assert.deepEqual(await admin('select id, epoch from bulkhead.shard order by id'), epochs);
  });

  it('is known by since when, and not longer than that', async () => {
    const since = async () =>
      (
        await admin<{ since: Date | null }>('select unconnected_since as since from bulkhead.replica where id = $1', [
          ANN,
        ])
      )[0]?.since;
    assert.equal(await since(), null);
    await beatAt(ANN, null);
    const first = await since();
    assert.ok(first instanceof Date);
    await beatAt(ANN, null);
    assert.deepEqual(await since(), first);
    await beatAt(ANN, CLUSTER);
    assert.equal(await since(), null);
  });
});

describe('at rest', () => {
  it('a heartbeat writes one row, in place, and nothing else', async () => {
    const own = await openDatabase({ ...OPTIONS, url: db.url });
    const beatHere = (id: ReplicaId) => heartbeat(own, { id, name: 'r', clusterId: CLUSTER }, LONG_MS);
    await beatHere(ANN);
    await db.store.yieldShards(ANN, shardsOf(await beat(ANN)).slice(128));
    await beatHere(BOB);
    const counts = async () => {
      await own.query('select pg_stat_force_next_flush()');
      return await admin<Record<'relname', string> & Record<'upd' | 'hot' | 'other', number>>(
        `select relname, n_tup_upd::int as upd, n_tup_hot_upd::int as hot, (n_tup_ins + n_tup_del)::int as other
         from pg_stat_user_tables where schemaname = 'bulkhead' order by relname`,
      );
    };
    const before = new Map((await counts()).map((row) => [row.relname, row]));
    for (let n = 0; n < 50; n += 1) await beatHere(ANN);
    const changed = (await counts())
      .map(({ relname, upd, hot, other }) => {
        const was = before.get(relname) ?? { upd: 0, hot: 0, other: 0 };
        return { relname, upd: upd - was.upd, hot: hot - was.hot, other: other - was.other };
      })
      .filter(({ upd, other }) => upd + other > 0);
    assert.deepEqual(changed, [{ relname: 'replica', upd: 50, hot: 50, other: 0 }]);
    await own.close();
  });
});

describe('what others see', () => {
  it('is every replica that is alive or still holds shards, by name', async () => {
    await db.store.heartbeat({ id: BOB, name: 'b', clusterId: CLUSTER }, LONG_MS);
    await beat(ANN);
    await beat(CEM);
    await expire(BOB);
    await expire(CEM);
    const seen = (await db.store.replicas()).map(({ startedAt, shards, ...rest }) => {
      assert.ok(startedAt instanceof Date);
      return { ...rest, shards: shards.length };
    });
    assert.deepEqual(seen, [
      { id: BOB, name: 'b', clusterId: CLUSTER, alive: false, shards: 256 },
      { id: ANN, name: 'replica a', clusterId: null, alive: true, shards: 0 },
    ]);
  });

  it('is which fences hold: of the owner, its epoch, and this database', async () => {
    const { fences } = await beat(ANN);
    const [one, two, three, four, five] = fences;
    assert.ok(one && two && three && four && five);
    await db.store.yieldShards(ANN, [two.shard]);
    const asked: Fence[] = [
      one,
      two,
      { ...three, replica: BOB },
      { ...four, epoch: { ...four.epoch, timeline: four.epoch.timeline + 1 } },
      { ...five, epoch: { ...five.epoch, system: '1' } },
      { ...one, epoch: { ...one.epoch, n: 2 } },
      ...fences.slice(5),
    ];
    assert.deepEqual(await db.store.holding(asked), [one, ...fences.slice(5)]);
    assert.deepEqual(await db.store.holding([]), []);
  });

  it('is that another database answers than before', () => {
    let changes = 0;
    const meet = whenServerChanges(() => {
      changes += 1;
    });
    for (const timeline of [1, 1, 2, 2]) meet({ system: '7', timeline });
    assert.equal(changes, 1, 'once for each change, and not for the first meeting');
    meet({ system: '8', timeline: 2 });
    assert.equal(changes, 2);
  });
});

describe('the share', () => {
  const holders = (...held: number[]) => held.map((n, index) => ({ id: String(index), held: n }));
  const cases: readonly (readonly [string, readonly number[], readonly number[]])[] = [
    ['all to one', [0], [256]],
    ['half to each', [256, 0], [128, 128]],
    ['what is left over stays where most is', [85, 86, 85], [85, 86, 85]],
    ['what is left over goes by id where all have the same', [0, 0, 0], [86, 85, 85]],
    [
      'no more than one each',
      new Array<number>(300).fill(0),
      [...new Array<number>(256).fill(1), ...new Array<number>(44).fill(0)],
    ],
  ];
  for (const [why, held, expected] of cases) {
    it(why, () => {
      // Ids that sort as the numbers do.
      const live = holders(...held).map((holder) => ({ ...holder, id: holder.id.padStart(3, '0') }));
      assert.deepEqual(
        live.map(({ id }) => shareOf(id, live)),
        expected,
      );
    });
  }

  it('falls to those who are connected or were a moment ago, and to all while nobody is connected', () => {
    const one = (id: string, connected: boolean, spared = false) => ({ id, held: 0, connected, spared });
    const idsOf = (...live: Parameters<typeof eligible>[0]) => eligible(live).map(({ id }) => id);
    assert.deepEqual(idsOf(one('a', true), one('b', false), one('c', false, true)), ['a', 'c']);
    assert.deepEqual(idsOf(one('a', false), one('b', false, true)), ['a', 'b']);
    assert.equal(shareOf('b', [one('a', true)]), 0);
  });
});
