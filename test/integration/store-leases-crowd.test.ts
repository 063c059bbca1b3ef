import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import type pg from 'pg';
import { clusterId, type ReplicaId, replicaId, type Shard } from '../../src/job/ids.ts';
import type { Standing } from '../../src/ports/shards.ts';
import { heartbeat, leave, yieldShards } from '../../src/store/leases.ts';
import { type Database, openDatabase } from '../../src/store/pool.ts';
import { sql, type TestDatabase, testDatabase } from '../support/postgres.ts';

/** Many replicas that come, go and die, against the real database: how the shards are divided in the end, and what it moves. */

const LONG_MS = 600_000;
/** Surplus is given back, claimed, and the odd ones are settled; nothing takes longer. */
const ROUNDS = 5;
const CLUSTER = clusterId('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa');

let db: TestDatabase;
/** With several connections, so that replicas really meet; each has one of its own in production. */
let pool: Database;
const admin = <Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
  sql<Row>(db.superuserUrl, text, values);

before(async () => {
  db = await testDatabase();
  pool = await openDatabase({
    url: db.url,
    applicationName: 'crowd',
    maxConnections: 8,
    connectTimeoutMs: 10_000,
    statementTimeoutMs: 10_000,
  });
  await admin(
    `insert into bulkhead.cluster (id, context_name, server, current) values ($1, 'kind', 'https://one', true)`,
    [CLUSTER],
  );
});
after(async () => {
  await pool.close();
  await db[Symbol.asyncDispose]();
});
beforeEach(empty);

async function empty(): Promise<void> {
  await admin('update bulkhead.shard set owner = null');
  await admin('delete from bulkhead.replica');
}

class Crowd {
  readonly #alive = new Map<ReplicaId, Standing | null>();
  /** Have lost the cluster, for so long that nobody waits for them any more. */
  readonly #lost = new Set<ReplicaId>();
  /** Who was ever told that it holds a shard under a number. */
  readonly #promised = new Map<string, ReplicaId>();

  get size(): number {
    return this.#alive.size;
  }

  /** Whether it has a share: it is connected, or nobody is. */
  serves(id: ReplicaId): boolean {
    return this.#alive.has(id) && (!this.#lost.has(id) || this.#lost.size === this.#alive.size);
  }

  get serving(): number {
    return [...this.#alive.keys()].filter((id) => this.serves(id)).length;
  }

  pick(index: number): ReplicaId | undefined {
    const ids = [...this.#alive.keys()];
    return ids[index % ids.length];
  }

  join(): void {
    this.#alive.set(replicaId(randomUUID()), null);
  }

  /** Loses the cluster, or finds it again. */
  async turn(id: ReplicaId): Promise<void> {
    if (!this.#lost.delete(id)) this.#lost.add(id);
    await this.beat(id);
  }

  async leave(id: ReplicaId): Promise<void> {
    this.#alive.delete(id);
    this.#lost.delete(id);
    await leave(pool, id);
  }

  /** Its lease has run out; whether it comes back in time is up to the next heartbeats. */
  async stall(id: ReplicaId): Promise<void> {
    await admin('update bulkhead.replica set expires_at = clock_timestamp() where id = $1', [id]);
  }

  async crash(id: ReplicaId): Promise<void> {
    this.#alive.delete(id);
    this.#lost.delete(id);
    await this.stall(id);
  }

  async beat(id: ReplicaId): Promise<void> {
    const standing = await heartbeat(pool, { id, name: id, clusterId: this.#lost.has(id) ? null : CLUSTER }, LONG_MS);
    for (const { shard, epoch } of standing.fences) {
      const promise = `${shard} under ${epoch.n}`;
      assert.equal(this.#promised.get(promise) ?? id, id, `${promise} is promised to one replica only`);
      this.#promised.set(promise, id);
    }
    this.#alive.set(id, standing);
    const surplus: Shard[] = standing.fences.slice(standing.fences.length - standing.surplus).map((f) => f.shard);
    if (standing.surplus > 0) await yieldShards(pool, id, surplus);
  }

  /** Everybody once, at the same time. */
  async round(): Promise<void> {
    await admin(`update bulkhead.replica set unconnected_since = unconnected_since - interval '10 seconds'`);
    await Promise.all([...this.#alive.keys()].map((id) => this.beat(id)));
  }

  /** Rounds until one changes nothing. */
  async settle(): Promise<void> {
    for (let round = 0; round < ROUNDS; round += 1) await this.round();
    const before = await this.epochs();
    await this.round();
    assert.equal(await this.epochs(), before, 'nothing moves any more');
    for (const standing of this.#alive.values()) assert.equal(standing?.surplus, 0);
    const all = await this.sizes();
    if (all.size === 0) return;
    for (const [id, size] of all) {
      if (!this.serves(id)) assert.equal(size, 0, 'who cannot act has nothing while others can');
    }
    const sizes = [...all].filter(([id]) => this.serves(id)).map(([, size]) => size);
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      256,
      'every shard is served',
    );
    assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1, `even within one: ${sizes.join(', ')}`);
  }

  /** Grows by one with each shard that changes hands. */
  async epochs(): Promise<number> {
    const [row] = await admin<{ sum: number }>('select sum(epoch)::int as sum from bulkhead.shard');
    return row?.sum ?? 0;
  }

  async sizes(): Promise<Map<ReplicaId, number>> {
    const rows = await admin<{ owner: ReplicaId; size: number }>(
      'select owner, count(*)::int as size from bulkhead.shard where owner is not null group by 1',
    );
    const owned = new Map(rows.map((row) => [row.owner, row.size]));
    return new Map([...this.#alive.keys()].map((id) => [id, owned.get(id) ?? 0]));
  }
}

type Happening = { readonly what: 'join' | 'leave' | 'crash' | 'stall' | 'beat' | 'turn'; readonly whom: number };

const happening: fc.Arbitrary<Happening> = fc.record({
  what: fc.constantFrom('join', 'join', 'leave', 'crash', 'stall', 'beat', 'turn', 'turn'),
  whom: fc.nat(20),
});

async function happen(crowd: Crowd, { what, whom }: Happening): Promise<void> {
  if (what === 'join') return crowd.join();
  const id = crowd.pick(whom);
  if (id !== undefined) await crowd[what](id);
}

describe('shards are divided', () => {
  it('evenly, each to one, whatever happens in whatever order, once it stops happening', async () => {
    await fc.assert(
      fc
        .asyncProperty(fc.array(happening, { maxLength: 25 }), async (happenings) => {
          const crowd = new Crowd();
          // In groups, so that several things happen between two heartbeats of the same replica.
          for (const [index, one] of happenings.entries()) {
            await happen(crowd, one);
            if (index % 4 === 3) await crowd.round();
          }
          await crowd.settle();
        })
        .beforeEach(empty),
      { numRuns: 20 },
    );
  });

  it('again after each change, moving no shard that could have stayed', async () => {
    await fc.assert(
      fc
        .asyncProperty(fc.array(happening, { minLength: 4, maxLength: 8 }), async (happenings) => {
          const crowd = new Crowd();
          crowd.join();
          await crowd.settle();
          for (const one of happenings) {
            if (crowd.size === 1 && (one.what === 'leave' || one.what === 'crash')) continue;
            const [before, epochs] = [await crowd.sizes(), await crowd.epochs()];
            const served = new Set([...before.keys()].filter((id) => crowd.serves(id)));
            // What a lease has run out of may go to others before its owner is back, and then come back to it.
            const whom = one.what === 'stall' ? crowd.pick(one.whom) : undefined;
            const stalled = (whom && before.get(whom)) ?? 0;
            await happen(crowd, one);
            await crowd.settle();
            const after = await crowd.sizes();
            const gained = [...after].reduce((sum, [id, size]) => sum + Math.max(0, size - (before.get(id) ?? 0)), 0);
            const moves = (await crowd.epochs()) - epochs;
            assert.ok(moves >= gained, `${one.what}: ${moves} moves, and ${gained} moved`);
            assert.ok(
              moves <= gained + 2 * stalled,
              `${one.what}: each of ${gained} moved once, not ${moves} times in all`,
            );
            const lost = [...before].reduce((sum, [id, size]) => sum + (crowd.serves(id) ? 0 : size), 0);
            const came = [...after.keys()].filter((id) => crowd.serves(id) && !served.has(id)).length;
            const fair = Math.max(stalled, came > 0 ? Math.floor((came * 256) / crowd.serving) : lost);
            assert.ok(gained <= fair, `${one.what}: ${gained} moved, of ${fair} that had to`);
          }
        })
        .beforeEach(empty),
      { numRuns: 8 },
    );
  });
});
