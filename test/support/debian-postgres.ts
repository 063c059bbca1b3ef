import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePrograms, findProgram } from '../cluster/kind/packages.ts';

/** Debian's Postgres, for what the embedded one lacks: pg_basebackup and pgbench. And its pooler. */

const VERSIONS = '/usr/lib/postgresql';
const REMEDY = 'Install them by hand, or run this on Debian as root';

/** Programs by path; the newest version of Postgres that is there. */
function findFolder(): string | undefined {
  const versions = existsSync(VERSIONS) ? readdirSync(VERSIONS) : [];
  return versions
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(VERSIONS, version, 'bin'))
    .find((folder) =>
      ['initdb', 'postgres', 'pg_basebackup', 'pgbench'].every((name) => existsSync(join(folder, name))),
    );
}

/** The folder of Debian's server programs; installs the package, after saying so, where it is missing. */
export async function debianPostgres(): Promise<string> {
  // Debian keeps it off the PATH, so asking for it by name always installs.
  if (!findFolder()) await ensurePrograms({ initdb: 'postgresql' }, `${REMEDY}.`);
  const folder = findFolder();
  if (!folder) throw new Error(`Debian's postgresql is installed, but its server is not in ${VERSIONS}.`);
  return folder;
}

/** Where pgbouncer is; installs it, after saying so, where it is missing. */
export async function pgbouncerProgram(): Promise<string> {
  await ensurePrograms({ pgbouncer: 'pgbouncer' }, `${REMEDY}.`);
  const program = await findProgram('pgbouncer');
  if (!program) throw new Error('pgbouncer is installed, but nowhere to be found.');
  return program;
}
