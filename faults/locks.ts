import pg from 'pg';

/** Somebody who holds locks and does not let go. */
export interface Holder {
  release(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Runs `statements` in a transaction that stays open until the release, and holds whatever locks they took. */
export async function holdLocks(superuserUrl: string, statements: readonly string[]): Promise<Holder> {
  const client = new pg.Client({ connectionString: superuserUrl, application_name: 'somebody else' });
  // A connection that breaks lets go as well.
  client.on('error', () => undefined);
  await client.connect();
  await client.query('set idle_in_transaction_session_timeout = 0');
  await client.query('begin');
  for (const statement of statements) await client.query(statement);
  let held = true;
  const release = async (): Promise<void> => {
    if (!held) return;
    held = false;
    await client.query('rollback');
    await client.end();
  };
  return { release, [Symbol.asyncDispose]: release };
}
