import { canonicalJson, contentHash } from '../job/canonical.ts';
import type { PlatformRevision } from '../job/goal.ts';
import { revision } from '../job/ids.ts';
import type { PlatformContent } from '../job/platform.ts';
import { type Base, type ChangeOrigin, type PlatformReceipt, StoreError } from '../ports/store.ts';
import {
  type Attempt,
  awaitReplication,
  formerReplies,
  type KeyedCall,
  keyedCall,
  LostRace,
  type ReplyRow,
  untilKnown,
} from './idempotency.ts';
import type { Database, Sql } from './pool.ts';
import { ALL_TENANTS, type RevisionRow, scopeOf, toPlatformRevision } from './rows.ts';
import { GOAL_CHANNEL } from './write-statement.ts';

/** What the platform says, for all tenants and for each: a series of revisions for each scope. */

const PLATFORM_ROW = `r.scope, r.revision, r.content, r.content_hash, r.author, r.source, r.reason, r.idempotency_key,
  r.created_at`;

type PlatformRow = RevisionRow & { readonly scope: string };

/** The newest revision of each scope: for all tenants first, then by tenant. */
export async function platforms(sql: Sql): Promise<PlatformRevision[]> {
  const rows = await sql.query<PlatformRow>(
    `select ${PLATFORM_ROW} from bulkhead.platform_head h
     join bulkhead.platform_revision r on r.scope = h.scope and r.revision = h.revision
     order by r.scope <> '${ALL_TENANTS}', r.scope collate "C"`,
  );
  return rows.map(toPlatformRevision);
}

export async function platformHistory(sql: Sql, tenant: string | null): Promise<PlatformRevision[]> {
  const rows = await sql.query<PlatformRow>(
    `select ${PLATFORM_ROW} from bulkhead.platform_revision r where scope = $1 order by revision`,
    [scopeOf(tenant)],
  );
  return rows.map(toPlatformRevision);
}

export interface PlatformChange {
  readonly tenant: string | null;
  readonly content: PlatformContent;
  readonly base?: Base;
}

type KeptReceipt = Omit<PlatformReceipt, 'tenant'>;

async function readNewest(sql: Sql, scope: string): Promise<PlatformRevision | null> {
  const rows = await sql.query<PlatformRow>(
    `select ${PLATFORM_ROW} from bulkhead.platform_head h
     join bulkhead.platform_revision r on r.scope = h.scope and r.revision = h.revision
     where h.scope = $1`,
    [scope],
  );
  return rows[0] === undefined ? null : toPlatformRevision(rows[0]);
}

async function readReplies(sql: Sql, scope: string, { key }: KeyedCall): Promise<ReplyRow<KeptReceipt>[]> {
  return await sql.query(
    'select tenant, body_hash, receipts from bulkhead.idempotency where tenant = $1 and key = $2',
    [scope, key],
  );
}

const scopeWords = (tenant: string | null): string =>
  tenant === null ? 'What the platform says for all tenants' : `What the platform says for tenant ${tenant}`;

/** @throws StoreError `conflict` when the change was not made from the newest revision */
function requireBase({ tenant, base }: PlatformChange, newest: PlatformRevision | null): void {
  if (base === undefined || base === (newest?.revision ?? 'none')) return;
  const what = scopeWords(tenant);
  const made =
    base === 'none' ? 'this change was made for one that is not there' : `this change was made from revision ${base}`;
  if (newest === null) {
    throw new StoreError('conflict', `${what} is not there, but ${made}: look again, and make the change anew.`);
  }
  const reason = newest.reason === null ? '' : `, ${JSON.stringify(newest.reason)}`;
  throw new StoreError(
    'conflict',
    `${what} was changed by ${newest.author} at ${newest.createdAt.toISOString()} (revision ${newest.revision}${reason}), ` +
      `but ${made}: compare both, then make the change again from revision ${newest.revision}.`,
  );
}

// As for goals: nothing is stored where the head has moved meanwhile; a number or key that was taken fails it (23505).
const STORE_PLATFORM = `
  with locked as materialized (
    select revision from bulkhead.platform_head where scope = $1 for no key update
  ), ready as materialized (
    select $2::int is null or coalesce((select revision from locked), 0) = $2::int - 1 as go
  ), written as (
    insert into bulkhead.platform_revision
      (scope, revision, content, content_hash, author, source, reason, idempotency_key)
    select $1, $2::int, $3::jsonb, $4, $5, $6, $7, $8 from ready where go and $2::int is not null
  ), moved as (
    insert into bulkhead.platform_head as h (scope, revision)
    select $1, $2::int from ready where go and $2::int is not null
    on conflict (scope) do update set revision = excluded.revision
  ), kept as (
    insert into bulkhead.idempotency (tenant, key, body_hash, receipts)
    select $1, $9, $10, $11::jsonb from ready where go
  )
  select go, case when $12 and go and $2::int is not null then pg_notify($13, 'platform') end from ready`;

async function writeOnce(
  db: Database,
  change: PlatformChange,
  origin: ChangeOrigin,
  call: KeyedCall,
  attempt: Attempt,
): Promise<PlatformReceipt> {
  const { tenant, content } = change;
  const scope = scopeOf(tenant);
  const former = formerReplies(call, await readReplies(db, scope, call)).get(scope);
  if (former !== undefined) {
    await awaitReplication(db);
    return { tenant, revision: revision(former.revision), outcome: former.outcome };
  }
  const newest = await readNewest(db, scope);
  requireBase(change, newest);
  const hash = contentHash(content);
  const same = newest?.contentHash === hash;
  const receipt: KeptReceipt = {
    revision: revision(same ? newest.revision : (newest?.revision ?? 0) + 1),
    outcome: same ? 'unchanged' : newest === null ? 'created' : 'configured',
  };
  if (!same || call.named) {
    const [row] = await attempt.send(() =>
      db.query<{ go: boolean }>(STORE_PLATFORM, [
        scope,
        same ? null : receipt.revision,
        canonicalJson(content),
        hash,
        origin.author,
        origin.source,
        origin.reason,
        origin.idempotencyKey ?? null,
        call.key,
        call.bodyHash,
        JSON.stringify(receipt),
        attempt.hints,
        GOAL_CHANNEL,
      ]),
    );
    if (row?.go !== true) throw new LostRace();
  }
  return { tenant, ...receipt };
}

/**
 * Jobs whose merged goal breaks the new limits keep their cells as they are and show as refused when they are read; so
 * does a job that is written at the same moment. Nothing is locked against that.
 * @throws StoreError `conflict` when `base` is not the scope's newest revision
 */
export async function writePlatform(
  db: Database,
  change: PlatformChange,
  origin: ChangeOrigin,
): Promise<PlatformReceipt> {
  const { tenant, content } = change;
  const call = keyedCall(origin, { platform: { tenant, content } });
  return await untilKnown(call, (attempt) => writeOnce(db, change, origin, call, attempt));
}
