import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { JobSpec } from '../../src/job/spec.ts';
import { StoreError } from '../../src/ports/store.ts';
import type { Store } from '../../src/store/open.ts';
import { sql, testDatabase } from '../../test/support/postgres.ts';

/** Texts that would do something if they became a part of SQL, through the real way in to a real Postgres. */

const HOSTILE = [
  "'; drop table bulkhead.job cascade; --",
  "' or '1'='1",
  '"; drop schema bulkhead cascade; --',
  '$1',
  '$$; select pg_sleep(60); $$',
  "\\'; truncate bulkhead.goal_revision; --",
  '/* ',
  '%s%n',
  '{a,b}',
  '(1,2)',
  'NULL',
  '\\x00',
  'a\nb\r\n',
  '\u2028\ufeff\u202e',
  '𝕏'.repeat(20),
  '',
];
const text = fc.oneof(
  fc.constantFrom(...HOSTILE),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.tuple(fc.constantFrom(...HOSTILE), fc.string({ maxLength: 10 })).map(([a, b]) => a + b),
);

interface Edit {
  readonly tenant: string;
  readonly name: string;
  readonly author: string;
  readonly reason: string;
  readonly key: string;
  readonly value: string;
}
const edit: fc.Arbitrary<Edit> = fc.record({
  tenant: fc.oneof(fc.constant('ads'), text),
  name: fc.oneof(fc.stringMatching(/^[a-z][a-z0-9]{10}$/), text),
  author: text,
  reason: text,
  key: fc.uuid(),
  value: text,
});

const specOf = (value: string): JobSpec => ({ container: { image: 'a', args: [value], env: [{ name: 'A', value }] } });

/** Everything in the database that is made by SQL and not by goals. */
const catalogue = (adminUrl: string): Promise<unknown[]> =>
  sql(
    adminUrl,
    `select n.nspname, c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname !~ '^pg_' order by 1, 2`,
  );

/** What became of one edit: `stored` letter by letter, `refused` with a sentence, or what went wrong. */
async function outcomeOf(store: Store, { tenant, name, author, reason, key, value }: Edit): Promise<string> {
  const job = { tenant, name };
  const origin = { author, source: 'cli', reason, idempotencyKey: key } as const;
  try {
    await store.write([{ job, content: { kind: 'spec', spec: specOf(value) } }], origin);
  } catch (error) {
    // A NUL cannot be stored, and names have rules: both are said, and nothing is stored.
    if (error instanceof StoreError)
      return (await isThere(store, job)) ? 'refused, and stored all the same' : 'refused';
    throw error;
  }
  const found = await store.find(job);
  const layer = found?.layers.job;
  const read = layer && { ...job, author: layer.author, reason: layer.reason, content: layer.content };
  const written = { ...job, author, reason, content: { kind: 'spec', spec: specOf(value) } };
  const listed = (await store.list({ tenant })).some(({ job: one }) => one.name === name);
  if (!isDeepStrictEqual(read, written)) return `${JSON.stringify(written)} came back as ${JSON.stringify(read)}`;
  return listed ? 'stored' : `${JSON.stringify(job)} is not among the jobs of its tenant`;
}

async function isThere(store: Store, job: { tenant: string; name: string }): Promise<boolean> {
  try {
    return (await store.find(job)) !== null;
  } catch (error) {
    // A name that Postgres cannot even be asked about, for a NUL in it.
    if (error instanceof StoreError) return false;
    throw error;
  }
}

export interface HostileWrites {
  readonly stored: number;
  readonly refused: number;
  /** What went wrong; empty when each edit was stored as it was written, or refused. */
  readonly findings: readonly string[];
}

/** @param edits how many to draw; a few of them are the same */
export async function hostileWrites(edits: number, seed: number): Promise<HostileWrites> {
  await using database = await testDatabase();
  const before = await catalogue(database.adminUrl);
  const drawn = fc.sample(edit, { numRuns: edits, seed });
  // Each job once: an edit of one that is there already says nothing about its name.
  const once = new Map(drawn.map((one) => [JSON.stringify([one.tenant, one.name]), one]));
  const outcomes: string[] = [];
  for (const one of once.values()) outcomes.push(await outcomeOf(database.store, one));
  const findings = outcomes.filter((outcome) => outcome !== 'stored' && outcome !== 'refused');
  const after = await catalogue(database.adminUrl);
  if (!isDeepStrictEqual(after, before)) findings.push('tables, indexes or schemas are others than before');
  const [stored, refused] = ['stored', 'refused'].map((what) => outcomes.filter((one) => one === what).length);
  if (!stored) findings.push('not one edit was stored, so nothing was tried');
  return { stored: stored ?? 0, refused: refused ?? 0, findings };
}
