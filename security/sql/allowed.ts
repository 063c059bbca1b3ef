/**
 * Parts of SQL that are put in when the program runs, and that no check can see are harmless: every one of them with the
 * reason why nothing that a person wrote can be in it. One that is not there any more has to go from here as well.
 */
export interface Allowed {
  /** Below src/store/. */
  readonly file: string;
  /** As they stand in the source. */
  readonly expressions: readonly string[];
  readonly why: string;
}

export const ALLOWED: readonly Allowed[] = [
  {
    file: 'archive-partitions.ts',
    expressions: ['name', 'parent', 'partition.name'],
    why: 'tables of the catalogue, of two parents that are named and with a name that ends in a month',
  },
  {
    file: 'archive-restore.ts',
    expressions: ['columns', 'types'],
    why: 'two texts a few lines above, put together from constants',
  },
  {
    file: 'embedded/app-role.ts',
    expressions: ["there.length > 0 ? 'alter' : 'create'", 'password'],
    why: 'one of two words; a password that newPassword has just made, of letters, digits, - and _',
  },
  {
    file: 'embedded/folder.ts',
    expressions: ['await readLine(folder.password)', 'await readLine(folder.appPassword)'],
    why: 'passwords that newPassword made; Postgres has no parameters in single-user mode',
  },
  {
    file: 'goals.ts',
    expressions: ['jobs', 'tenants', 'where', 'ids', 'goalsStatement(jobs)'],
    why: 'parts of the statement that callers in the store write as letters; their values are parameters',
  },
  {
    file: 'grants.ts',
    expressions: ['what', 'to', "rights.join(', ')", "r.join(', ')", 'name', 'signature', 'statement'],
    why: 'words of the tables above them; `to` is what pg.escapeIdentifier has made of the role',
  },
  {
    file: 'history.ts',
    expressions: ['condition', "revisionsWhere('job_id = $1')", "revisionsWhere('job_id = $1 and revision = $2')"],
    why: 'conditions that are written as letters where they are used',
  },
  { file: 'migrate.ts', expressions: ['next.sql'], why: 'the migrations, which are files of this repository' },
  {
    file: 'pool.ts',
    expressions: ['text', 'timeoutMs'],
    why: 'where all queries pass through: their texts are checked where they are written; a number of Math.trunc',
  },
  {
    file: 'write.ts',
    expressions: ["goalsStatement(WANTED_JOBS, 'select unnest($1::text[])')"],
    why: 'both parts are letters of the source; the names are a parameter',
  },
];

/** In any file: calls whose arguments are all letters or numbers of the source. */
export const ALLOWED_CALLS = /^(fences?Cte\(\d*\)|timeText\('[\w.]+'\))$/;
