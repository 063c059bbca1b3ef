import { type Command, InvalidArgumentError, Option } from 'commander';
import { archiveBefore } from '../store/archive-partitions.ts';
import { openDatabase } from '../store/pool.ts';
import { action, type Context } from './context.ts';
import { asOwner } from './database.ts';
import type { GlobalOptions } from './options.ts';
import { print, say } from './output.ts';

interface ArchiveOptions extends GlobalOptions {
  /** Midnight in UTC at the beginning of a month. */
  readonly before: Date;
  readonly dryRun?: true;
}

const TIMEOUT_MS = 5_000;

/** The beginning of a month. @throws InvalidArgumentError */
export function month(text: string): Date {
  const [, year, number] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(text) ?? [];
  if (year === undefined) throw new InvalidArgumentError('Expected a month such as 2026-03.');
  return new Date(Date.UTC(Number(year), Number(number) - 1, 1));
}

/** Partitions of months that end at `before` or earlier. Their names say which month they are of. */
async function partitionsBefore(url: string, before: Date): Promise<string[]> {
  const db = await openDatabase({
    url,
    applicationName: 'bulkhead archive',
    maxConnections: 1,
    connectTimeoutMs: TIMEOUT_MS,
    statementTimeoutMs: TIMEOUT_MS,
  });
  try {
    const rows = await db.query<{ name: string }>(
      `select c.relname::text as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
       where c.relnamespace = 'bulkhead'::regnamespace and c.relname ~ '^(event|scaler_revision)_[0-9]{4}_[0-9]{2}$'
         and right(c.relname, 7) < to_char($1::timestamptz at time zone 'utc', 'YYYY_MM')
       order by 1`,
      [before],
    );
    return rows.map(({ name }) => name);
  } finally {
    await db.close();
  }
}

async function archive(context: Context, { before, dryRun }: ArchiveOptions): Promise<void> {
  const urls = await context.database();
  if (dryRun) {
    const names = await partitionsBefore(urls.adminUrl, before);
    if (names.length === 0) return say('Nothing to archive: no month that old is in the store.');
    return print(names.map((name) => `${name} archived (dry run)\n`).join(''));
  }
  const { moved, kept, keys } = await asOwner(urls, (url) => archiveBefore(url, before));
  await print(moved.map((name) => `${name} archived\n`).join(''));
  if (moved.length === 0) say('Nothing was archived: no month that old is in the store.');
  for (const name of kept) say(`${name} stays: it holds what the scaler of some job says now.`);
  if (keys > 0) say(`${keys} idempotency keys of that time were forgotten.`);
  if (moved.length > 0) say('The tables are in the schema bulkhead_archive: copy them away and drop them as you like.');
}

export function addArchiveCommand(program: Command): void {
  program
    .command('archive')
    .description(
      "Move whole months of events and of the scaler's revisions out of the store's way, as the owner (DATABASE_ADMIN_URL); goals and overrides stay",
    )
    .addOption(
      new Option('--before <month>', 'everything before this month: 2026-03').argParser(month).makeOptionMandatory(),
    )
    .addOption(new Option('--dry-run', 'only say what would be moved'))
    .action(action<ArchiveOptions>(archive));
}
