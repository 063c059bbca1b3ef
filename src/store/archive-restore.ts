import type {
  ArchivedJob,
  ArchivedKey,
  ArchivedPlatformRevision,
  ArchivedRevision,
  StoreArchive,
} from '../job/archive.ts';
import { canonicalJson, contentHash } from '../job/canonical.ts';
import type { Layer } from '../job/goal.ts';
import { jobName } from '../job/ids.ts';
import { StoreError } from '../ports/store.ts';
import { type RestoredRevision, toRestored } from './archive-rows.ts';
import type { Sql } from './pool.ts';
import { scopeOf } from './rows.ts';

/** Filling an empty store with an archive: everything as it was, but for what follows from it, which is worked out. */

const JOBS_AT_A_TIME = 500;
const KEYS_AT_A_TIME = 500;

const damaged = (what: string, why: string): StoreError =>
  new StoreError('invalid', `The archive is damaged at ${what}: ${why}. Nothing was restored.`);

/** Holds writers off, and makes sure that there is nothing that the archive would mix with. @throws StoreError `conflict` */
export async function requireEmpty(sql: Sql, target: string): Promise<void> {
  await sql.query(
    'lock table bulkhead.job, bulkhead.platform_revision, bulkhead.idempotency, bulkhead.replica in share row exclusive mode',
  );
  const [row] = await sql.query<{ filled: boolean; running: boolean }>(
    `select exists (select from bulkhead.job) or exists (select from bulkhead.platform_revision)
         or exists (select from bulkhead.idempotency) as filled,
       exists (select from bulkhead.replica where expires_at > clock_timestamp()) as running`,
  );
  if (row?.filled) throw new StoreError('conflict', `${target} is not empty: restore into a new database.`);
  if (row?.running) {
    throw new StoreError(
      'conflict',
      `An operator runs on ${target}: stop it, then restore, since the store's id changes.`,
    );
  }
}

/** Content hashes are of what a writer had, where a time had milliseconds. */
function hashOf({ content }: ArchivedRevision): string {
  if (content.kind !== 'patch' || content.layer !== 'oncall') return contentHash(content);
  return contentHash({ ...content, until: content.until === null ? null : new Date(content.until) });
}

/** The newest revision of each layer. */
function newestOf(job: ArchivedJob): Map<Layer, RestoredRevision> {
  const newest = new Map<Layer, RestoredRevision>();
  const what = `job ${jobName(job.job)}`;
  let last = 0;
  for (const archived of job.revisions) {
    const row = toRestored(job.job.id, archived);
    if (archived.revision <= last) throw damaged(what, `revision ${archived.revision} comes after revision ${last}`);
    if (hashOf(archived) !== archived.contentHash) {
      throw damaged(what, `the content of revision ${archived.revision} is not what its hash says`);
    }
    last = archived.revision;
    newest.set(row.layer, row);
  }
  return newest;
}

interface HeadRow {
  readonly jobId: string;
  readonly revision: number;
  readonly job: number;
  readonly scaler: RestoredRevision | null;
  readonly oncall: RestoredRevision | null;
}

function headOf(job: ArchivedJob): HeadRow {
  const newest = newestOf(job);
  const own = newest.get('job');
  if (own === undefined) throw damaged(`job ${jobName(job.job)}`, 'it has no revision of its own layer');
  if ((own.content === null) !== (job.removedAt !== null)) {
    throw damaged(`job ${jobName(job.job)}`, 'whether it was removed is not what its revisions say');
  }
  return {
    jobId: job.job.id,
    revision: Math.max(...job.revisions.map((r) => r.revision)),
    job: own.archived.revision,
    scaler: newest.get('scaler') ?? null,
    oncall: newest.get('oncall') ?? null,
  };
}

const AUTHORSHIP = 'author, source, reason, idempotency_key, created_at';
const AUTHORSHIP_TYPES = '$1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]';

const authorshipValues = (rows: readonly Omit<ArchivedRevision, 'content'>[]): unknown[] => [
  rows.map((r) => r.author),
  rows.map((r) => r.source),
  rows.map((r) => r.reason),
  rows.map((r) => r.idempotencyKey),
  rows.map((r) => r.createdAt),
];

const jsonOrNull = (content: unknown): string | null => (content === null ? null : canonicalJson(content));

export async function restorePlatforms(sql: Sql, revisions: readonly ArchivedPlatformRevision[]): Promise<void> {
  for (const { contentHash: hash, content, revision, tenant } of revisions) {
    if (contentHash(content) !== hash) {
      throw damaged(`platform ${scopeOf(tenant)}`, `the content of revision ${revision} is not what its hash says`);
    }
  }
  await sql.query(
    `with written as (
       insert into bulkhead.platform_revision (${AUTHORSHIP}, scope, revision, content, content_hash)
       select * from unnest(${AUTHORSHIP_TYPES}, $6::text[], $7::int[], $8::jsonb[], $9::text[]))
     insert into bulkhead.platform_head (scope, revision)
     select scope, max(revision) from unnest($6::text[], $7::int[]) as given (scope, revision) group by scope`,
    [
      ...authorshipValues(revisions),
      revisions.map((r) => scopeOf(r.tenant)),
      revisions.map((r) => r.revision),
      revisions.map((r) => canonicalJson(r.content)),
      revisions.map((r) => r.contentHash),
    ],
  );
}

async function insertJobs(sql: Sql, jobs: readonly ArchivedJob[]): Promise<void> {
  await sql.query(
    `insert into bulkhead.job (id, tenant, name, created_at, removed_at)
     select * from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])`,
    [
      jobs.map((j) => j.job.id),
      jobs.map((j) => j.job.tenant),
      jobs.map((j) => j.job.name),
      jobs.map((j) => j.createdAt),
      jobs.map((j) => j.removedAt),
    ],
  );
}

async function insertRevisions(sql: Sql, rows: readonly RestoredRevision[]): Promise<void> {
  const common = (some: readonly RestoredRevision[]): unknown[] => [
    ...authorshipValues(some.map((r) => r.archived)),
    some.map((r) => r.jobId),
    some.map((r) => r.archived.revision),
    some.map((r) => jsonOrNull(r.content)),
    some.map((r) => r.archived.contentHash),
  ];
  const columns = `${AUTHORSHIP}, job_id, revision, content, content_hash`;
  const types = `${AUTHORSHIP_TYPES}, $6::uuid[], $7::int[], $8::jsonb[], $9::text[]`;
  const people = rows.filter((r) => r.layer !== 'scaler');
  await sql.query(
    `insert into bulkhead.goal_revision (${columns}, layer, until, take_over)
     select * from unnest(${types}, $10::text[], $11::timestamptz[], $12::boolean[])`,
    [
      ...common(people),
      people.map((r) => r.layer),
      people.map((r) => r.until),
      people.map((r) => r.archived.takeOver === true),
    ],
  );
  const scaler = rows.filter((r) => r.layer === 'scaler');
  if (scaler.length === 0) return;
  await sql.query(`insert into bulkhead.scaler_revision (${columns}) select * from unnest(${types})`, common(scaler));
}

async function insertHeads(sql: Sql, heads: readonly HeadRow[]): Promise<void> {
  await sql.query(
    `insert into bulkhead.goal_head
       (job_id, revision, job_revision, scaler_revision, scaler_at, oncall_revision, oncall_until)
     select * from unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::timestamptz[], $6::int[], $7::timestamptz[])`,
    [
      heads.map((h) => h.jobId),
      heads.map((h) => h.revision),
      heads.map((h) => h.job),
      heads.map((h) => h.scaler?.archived.revision ?? null),
      heads.map((h) => h.scaler?.archived.createdAt ?? null),
      heads.map((h) => h.oncall?.archived.revision ?? null),
      heads.map((h) => h.oncall?.until ?? null),
    ],
  );
}

/** @returns how many revisions they have */
async function restoreSome(sql: Sql, jobs: readonly ArchivedJob[]): Promise<number> {
  const heads = jobs.map(headOf);
  const rows = jobs.flatMap((job) => job.revisions.map((archived) => toRestored(job.job.id, archived)));
  await insertJobs(sql, jobs);
  await insertRevisions(sql, rows);
  await insertHeads(sql, heads);
  return rows.length;
}

async function* inBatches<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[], void> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

export async function restoreJobs(sql: Sql, jobs: StoreArchive['jobs']): Promise<{ jobs: number; revisions: number }> {
  const restored = { jobs: 0, revisions: 0 };
  for await (const batch of inBatches(jobs, JOBS_AT_A_TIME)) {
    restored.revisions += await restoreSome(sql, batch);
    restored.jobs += batch.length;
  }
  return restored;
}

async function insertKeys(sql: Sql, keys: readonly ArchivedKey[]): Promise<void> {
  await sql.query(
    `insert into bulkhead.idempotency (tenant, key, body_hash, receipts, created_at)
     select * from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::timestamptz[])`,
    [
      keys.map((k) => scopeOf(k.tenant)),
      keys.map((k) => k.key),
      keys.map((k) => k.bodyHash),
      keys.map((k) => k.receipts),
      keys.map((k) => k.createdAt),
    ],
  );
}

export async function restoreKeys(sql: Sql, keys: StoreArchive['keys']): Promise<void> {
  for await (const batch of inBatches(keys, KEYS_AT_A_TIME)) await insertKeys(sql, batch);
}
