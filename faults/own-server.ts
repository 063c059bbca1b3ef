import { join } from 'node:path';
import { findFreePort } from '../src/store/embedded/port.ts';
import { embeddedStatus, ensureEmbedded, stopEmbedded } from '../src/store/embedded.ts';
import { migrate } from '../src/store/migrate.ts';
import { openStore, type Store } from '../src/store/open.ts';
import { ownFolder } from '../test/support/postgres.ts';
import { until } from '../test/support/until.ts';

/** A Postgres of a scenario's own, to be killed, and a store on it. Durable, since it has to come back with everything. */
export interface OwnServer {
  readonly url: string;
  readonly adminUrl: string;
  readonly appRole: string;
  readonly superuserUrl: string;
  readonly store: Store;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** On the same data and port; resolves when it takes connections. */
  start(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const GONE_LIMIT_MS = 10_000;

export async function ownServer(name: string, settings: Readonly<Record<string, string>> = {}): Promise<OwnServer> {
  const folder = join(await ownFolder(), name);
  const port = await findFreePort();
  const start = () => ensureEmbedded({ folder, port, settings });
  const { url, adminUrl, appRole, superuserUrl } = await start();
  await migrate(adminUrl, { appRole });
  const store = await openStore({ url, applicationName: 'faults' });
  return {
    url,
    adminUrl,
    appRole,
    superuserUrl,
    store,
    kill: async () => {
      const status = await embeddedStatus({ folder });
      if (status.state === 'running') process.kill(status.pid, 'SIGKILL');
      await until(
        'Postgres is gone',
        GONE_LIMIT_MS,
        async () => (await embeddedStatus({ folder })).state !== 'running',
      );
    },
    start: async () => {
      await start();
    },
    [Symbol.asyncDispose]: async () => {
      await store.close();
      await stopEmbedded({ folder });
    },
  };
}
