import { openStore } from '../../src/store/open.ts';
import { testDatabase } from '../../test/support/postgres.ts';
import { targetOf, WireProxy } from '../../test/support/wire.ts';
import { judge, type Scenario, sized } from '../scenario.ts';
import { type Answer, type Command, execute, session } from '../session/commands.ts';
import { runWithCrashes } from '../session/crashes.ts';
import { historyLines, surplus } from '../session/record.ts';

/** What the session leads to when nothing happens to it. */
async function undisturbed(commands: readonly Command[]) {
  await using database = await testDatabase();
  await using proxy = await WireProxy.to(targetOf(database.url));
  const store = await openStore({ url: proxy.urlFor(database.url), applicationName: 'session' });
  const answers: Answer[] = [];
  for (const command of commands) answers.push(await execute(store, command));
  await store.close();
  return { answers, commits: proxy.counts.landed, history: await historyLines(database.store) };
}

export const crashAtCommit: Scenario = {
  row: '2',
  name: 'crash-at-commit',
  what: 'every COMMIT of a session is met by SIGKILL before it lands and after, and its answer is lost: each command, done again under its key, is done once',
  run: async ({ size }) => {
    const commands = session(sized(size, 12, 200));
    const expected = await undisturbed(commands);
    await using database = await testDatabase();
    const { answers, killedBefore, killedAfter, answersLost } = await runWithCrashes(database.url, commands);
    const history = await historyLines(database.store);
    const lost = surplus(expected.history, history);
    const doubled = surplus(history, expected.history);
    const differing = answers.filter((answer, i) => String(answer) !== String(expected.answers[i])).length;
    const points = expected.commits;
    return judge(
      [
        { what: `revisions lost: ${lost.slice(0, 3).join('; ')}`, held: lost.length === 0 },
        { what: `revisions doubled: ${doubled.slice(0, 3).join('; ')}`, held: doubled.length === 0 },
        { what: 'a command answered otherwise than undisturbed', held: differing === 0 },
        {
          what: 'a COMMIT was not met by all three faults',
          held: points >= commands.length && [killedBefore, killedAfter, answersLost].every((n) => n >= points),
        },
      ],
      {
        figure: `${commands.length} commands, ${killedBefore} + ${killedAfter} kills, ${answersLost} answers lost: ${lost.length} goals lost, ${doubled.length} doubled`,
        limit: '0 lost, 0 doubled',
        detail: {
          commands: commands.length,
          commits: points,
          killedBefore,
          killedAfter,
          answersLost,
          revisions: history.length,
          lost: lost.length,
          doubled: doubled.length,
          differing,
        },
      },
    );
  },
};
