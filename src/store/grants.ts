import pg from 'pg';
import { StoreError } from '../ports/store.ts';
import type { Sql } from './pool.ts';

/**
 * What the run-time role may do: what the statements of this folder need and nothing more. It owns no table, makes none,
 * and cannot change or take away what is only ever added to.
 */

/** A right as Postgres names it; on one column only with that in brackets. */
type Right = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE' | 'USAGE' | 'EXECUTE' | `UPDATE (${string})`;
type Rights = Readonly<Record<string, readonly Right[]>>;

const READ: readonly Right[] = ['SELECT'];
const APPEND: readonly Right[] = ['SELECT', 'INSERT'];
const EDIT: readonly Right[] = ['SELECT', 'INSERT', 'UPDATE'];
const REWRITE: readonly Right[] = [...EDIT, 'DELETE'];

/** Partitions are reached through their parents, so they need no rights of their own. */
const TABLES: Rights = {
  brake: ['SELECT', 'UPDATE'],
  brake_release: APPEND,
  cluster: EDIT,
  cluster_acceptance: REWRITE,
  event: APPEND,
  fence_ahead: REWRITE,
  fence_confirmation: APPEND,
  goal_head: EDIT,
  goal_revision: APPEND,
  idempotency: APPEND,
  job: ['SELECT', 'INSERT', 'UPDATE (removed_at)'],
  migration: READ,
  observation: EDIT,
  platform_head: EDIT,
  platform_revision: APPEND,
  removal: EDIT,
  replica: REWRITE,
  scaler_revision: APPEND,
  shard: ['SELECT', 'UPDATE (owner)', 'UPDATE (epoch)'],
  store: READ,
};
const SEQUENCES: Rights = { event_id: ['USAGE'] };
/** By name with the types of their arguments. */
const FUNCTIONS = [
  'changed_since(xid8)',
  'goals_of(uuid[])',
  'record_turn(uuid, smallint, bigint, text, integer, uuid, jsonb, uuid[], integer[], text[], text[], text[], uuid[])',
  'scaler_layer(uuid, integer, timestamptz)',
  'system_identifier()',
  'timeline()',
];

const nameOf = (signature: string): string => signature.slice(0, signature.indexOf('('));

const words = (rights: Rights): string[] =>
  Object.entries(rights).flatMap(([name, some]) => some.map((right) => `${name} ${right}`));

const wanted = (): string[] =>
  ['bulkhead USAGE', ...words(TABLES), ...words(SEQUENCES), ...FUNCTIONS.map((f) => `${nameOf(f)} EXECUTE`)].sort();

/** What was granted to the role itself in the schema, in the words of {@link wanted}. */
async function granted(sql: Sql, role: string): Promise<string[]> {
  const rows = await sql.query<{ word: string }>(
    `with acl as (
       select nspname::text as name, '' as on_column, nspacl as acl from pg_namespace where nspname = 'bulkhead'
       union all
       select relname, '', relacl from pg_class where relnamespace = to_regnamespace('bulkhead')
       union all
       select relname, format(' (%s)', attname), attacl from pg_attribute a join pg_class c on c.oid = a.attrelid
       where relnamespace = to_regnamespace('bulkhead')
       union all
       select proname, '', proacl from pg_proc where pronamespace = to_regnamespace('bulkhead')
     )
     select format('%s %s%s', name, privilege_type, on_column) as word from acl, aclexplode(acl.acl) a
     where a.grantee = (select oid from pg_roles where rolname = $1)`,
    [role],
  );
  return rows.map(({ word }) => word).sort();
}

/** @throws StoreError `configuration` when there is no such role, with the statement that makes it */
export async function requireRole(sql: Sql, role: string, target: string): Promise<void> {
  const found = await sql.query('select from pg_roles where rolname = $1', [role]);
  if (found.length > 0) return;
  throw new StoreError(
    'configuration',
    `${target} has no role ${role}, which Bulkhead runs as: make it with ` +
      `"create role ${pg.escapeIdentifier(role)} login password '…'", as a role that may, then run "bulkhead migrate" again.`,
  );
}

export async function areGranted(sql: Sql, role: string): Promise<boolean> {
  const [want, have] = [wanted(), await granted(sql, role)];
  return want.length === have.length && want.every((word, index) => word === have[index]);
}

/** Gives the role these rights and takes all others in the schema from it. In a transaction nobody notices in between. */
export async function grant(sql: Sql, role: string): Promise<void> {
  const to = pg.escapeIdentifier(role);
  const statements = [
    ...['tables', 'sequences', 'functions'].map((what) => `revoke all on all ${what} in schema bulkhead from ${to}`),
    `revoke all on schema bulkhead from ${to}`,
    'revoke all on all functions in schema bulkhead from public',
    `grant usage on schema bulkhead to ${to}`,
    ...Object.entries(TABLES).map(([name, rights]) => `grant ${rights.join(', ')} on bulkhead.${name} to ${to}`),
    ...Object.entries(SEQUENCES).map(([name, r]) => `grant ${r.join(', ')} on sequence bulkhead.${name} to ${to}`),
    ...FUNCTIONS.map((signature) => `grant execute on function bulkhead.${signature} to ${to}`),
  ];
  for (const statement of statements) await sql.query(statement);
}
