import { storesSomething } from '../../faults/session/crashes.ts';
import { openStore } from '../../src/store/open.ts';
import { targetOf, WireProxy } from '../../test/support/wire.ts';
import { newJobs, writeJobs } from './jobs.ts';

/** What a store sends when it stores new jobs, as statements that any client can run elsewhere: values put in. */

const literal = (value: string | null): string => (value === null ? 'null' : `'${value.replaceAll("'", "''")}'`);

const withValues = (statement: string, values: readonly (string | null)[]): string =>
  statement.replace(/\$(\d+)/g, (_, n) => literal(values[Number(n) - 1] ?? null));

/**
 * Has `count` writes of `jobsEach` new jobs made on a database, and listens in.
 * @returns the statements that stored something, one for each write
 */
export async function recordWrites(url: string, count: number, jobsEach: number): Promise<string[]> {
  const stored: string[] = [];
  let statement = '';
  await using proxy = await WireProxy.to(targetOf(url), {
    onStatement: (text) => {
      statement = text;
    },
    onValues: (values) => {
      if (storesSomething(statement)) stored.push(withValues(statement, values));
    },
  });
  const store = await openStore({ url: proxy.urlFor(url), applicationName: 'bench', maxConnections: 1 });
  try {
    for (let i = 0; i < count; i += 1) await writeJobs(store, newJobs(jobsEach));
  } finally {
    await store.close();
  }
  if (stored.length !== count) throw new Error(`${count} writes stored something by ${stored.length} statements`);
  return stored;
}
