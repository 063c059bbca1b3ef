import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../test/cluster/progress.ts';
import { debianPostgres } from '../../test/support/debian-postgres.ts';
import { ownFolder } from '../../test/support/postgres.ts';

/** Runs statements one after the other by pgbench, over one connection. @returns seconds, without connecting */
export async function pgbenchSeconds(url: string, statements: readonly string[]): Promise<number> {
  const file = join(await ownFolder(), `pgbench-${process.pid}.sql.lock`);
  await writeFile(file, statements.map((statement) => `${statement};\n`).join(''), { mode: 0o600 });
  try {
    const program = join(await debianPostgres(), 'pgbench');
    const args = ['--no-vacuum', '--client=1', '--transactions=1', `--file=${file}`, url];
    const printed = await run(program, args);
    const failed = /number of failed transactions: (\d+)/.exec(printed)?.[1] ?? '0';
    const perSecond = Number(/^tps = ([\d.]+) \(without initial/m.exec(printed)?.[1]);
    if (failed !== '0' || !(perSecond > 0)) throw new Error(`pgbench did not measure anything:\n${printed}`);
    return 1 / perSecond;
  } finally {
    await rm(file, { force: true });
  }
}
