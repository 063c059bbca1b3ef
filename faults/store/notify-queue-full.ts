import pg from 'pg';
import { applyAll, numbered, specOf, untilRunning, untilServed } from '../jobs.ts';
import { ownServer } from '../own-server.ts';
import { startReplicas } from '../replicas.ts';
import { judge, type Scenario, seconds } from '../scenario.ts';

const RUN_LIMIT_MS = 60_000;
const SEEN_LIMIT_MS = 30_000;
/** The smallest that Postgres takes: half a megabyte, where it is 8 GB by default. */
const QUEUE_PAGES = 64;
/** A notification may have 8,000 bytes, and none lies on two pages. */
const PAYLOAD_BYTES = 7_900;
const FULL = '54000';

/** Notifies until the queue is full. @returns how many it took */
async function fillQueue(superuserUrl: string): Promise<number> {
  const client = new pg.Client({ connectionString: superuserUrl, application_name: 'somebody else' });
  await client.connect();
  try {
    for (let sent = 0; sent <= 2 * QUEUE_PAGES; sent += 1) {
      try {
        await client.query('select pg_notify($1, $2)', ['others', `${sent}`.padEnd(PAYLOAD_BYTES, '.')]);
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === FULL) return sent;
        throw error;
      }
    }
    throw new Error('the queue of notifications does not fill');
  } finally {
    await client.end();
  }
}

export const notifyQueueFull: Scenario = {
  row: '10',
  name: 'notify-queue-full',
  what: 'somebody listens and never reads until the queue of notifications is full: goals are stored all the same, and found by polling',
  run: async ({ stage }) => {
    const { kubeconfigPath: kubeconfig } = await stage.cluster();
    await using server = await ownServer('notify', { max_notify_queue_pages: String(QUEUE_PAGES) });
    const { store, url, superuserUrl } = server;
    const [replica] = await startReplicas(superuserUrl, [{ name: 'notify', databaseUrl: url, kubeconfig }]);
    await using _replica = replica;
    const names = numbered(3);
    await untilRunning(store, await applyAll(store, names, specOf('app:1')), RUN_LIMIT_MS);
    const listener = new pg.Client({ connectionString: superuserUrl, application_name: 'never reads' });
    await listener.connect();
    await listener.query('listen others');
    await listener.query('set idle_in_transaction_session_timeout = 0');
    await listener.query('begin; select 1');
    const sent = await fillQueue(superuserUrl);
    const startedAt = performance.now();
    const edited = await applyAll(store, names, specOf('app:2'));
    const storedMs = performance.now() - startedAt;
    const seenMs = await untilServed(store, edited, 2 * SEEN_LIMIT_MS);
    await listener.end();
    return judge(
      [
        { what: `${edited.length} of ${names.length} goals were stored`, held: edited.length === names.length },
        { what: `they were seen after ${seconds(seenMs)}`, held: seenMs <= SEEN_LIMIT_MS },
      ],
      {
        figure: `queue full after ${sent} notifications: ${edited.length} goals stored in ${Math.round(storedMs)} ms, seen after ${seconds(seenMs)}`,
        limit: 'stored; seen ≤ 30 s',
        detail: { sent, storedMs, seenMs },
      },
    );
  },
};
