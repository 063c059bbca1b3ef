import { openDatabase } from '../pool.ts';
import { APP_ROLE, newPassword, type ServerFolder, writeSecret } from './folder.ts';

const TIMEOUT_MS = 10_000;

/**
 * Makes the role that Bulkhead runs as, in a server that was made without it. Its file comes last: while that is not
 * there, whatever an earlier attempt has made is made again.
 * @throws StoreError
 */
export async function makeAppRole(folder: ServerFolder, superuserUrl: string): Promise<void> {
  const password = newPassword();
  const db = await openDatabase({
    url: superuserUrl,
    applicationName: 'bulkhead database',
    maxConnections: 1,
    connectTimeoutMs: TIMEOUT_MS,
    statementTimeoutMs: TIMEOUT_MS,
  });
  try {
    const there = await db.query('select from pg_roles where rolname = $1', [APP_ROLE]);
    // The password fits a literal as it is: see newPassword.
    await db.query(`${there.length > 0 ? 'alter' : 'create'} role ${APP_ROLE} login password '${password}'`);
    await db.query('select pg_reload_conf()');
    await writeSecret(folder.appPassword, password);
  } finally {
    await db.close();
  }
}
