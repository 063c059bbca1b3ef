import { openStore } from '../../src/store/open.ts';
import { startPooler } from '../../test/support/pgbouncer.ts';
import { testDatabase } from '../../test/support/postgres.ts';
import { applyAll, numbered, specOf, timeEdit, untilRunning } from '../jobs.ts';
import { startReplicas } from '../replicas.ts';
import { judge, median, type Scenario, seconds, sized } from '../scenario.ts';
import { execute, session } from '../session/commands.ts';

const RUN_LIMIT_MS = 60_000;
const SEEN_LIMIT_MS = 30_000;

export const pooler: Scenario = {
  row: '9',
  name: 'pooler',
  what: 'everything goes by a pooler in transaction mode, which lets no hints through: all commands work, three replicas share the work, and a change is found by polling',
  run: async ({ size, stage }) => {
    const { kubeconfigPath: kubeconfig } = await stage.cluster();
    await using database = await testDatabase();
    await using through = await startPooler(database.url);
    const store = await openStore({ url: through.url, applicationName: 'faults by a pooler' });
    await using _closed = { [Symbol.asyncDispose]: () => store.close() };
    const options = numbered(3, 'pooled').map((name) => ({ name, databaseUrl: through.url, kubeconfig }));
    await using stack = new AsyncDisposableStack();
    for (const replica of await startReplicas(database.superuserUrl, options)) stack.use(replica);
    const names = numbered(4);
    await untilRunning(store, await applyAll(store, names, specOf('app:1')), RUN_LIMIT_MS);
    const commands = session(sized(size, 12, 48));
    let done = 0;
    for (const command of commands) done += (await execute(store, command)).length > 0 ? 1 : 0;
    const seen: number[] = [];
    for (let i = 0; i < sized(size, 2, 10); i += 1) {
      seen.push(await timeEdit(store, names[i % names.length] ?? '', `app:${i + 2}`, 2 * SEEN_LIMIT_MS));
    }
    const worst = Math.max(...seen);
    return judge(
      [
        { what: `${done} of ${commands.length} commands were answered`, held: done === commands.length },
        { what: `a change was seen after ${seconds(worst)}`, held: worst <= SEEN_LIMIT_MS },
      ],
      {
        figure: `${done} commands, ${seen.length} edits seen after ${seconds(median(seen))} (at most ${seconds(worst)})`,
        limit: '30 s',
        detail: { commands: done, seenMs: seen.map(Math.round) },
      },
    );
  },
};
