import { openStore } from '../../src/store/open.ts';
import { testDatabase } from '../../test/support/postgres.ts';
import { targetOf, WireProxy } from '../../test/support/wire.ts';
import { judge, type Scenario, sized } from '../scenario.ts';
import { type Answer, type Command, execute, session } from '../session/commands.ts';
import { type Faults, runWithFaults, storesSomething } from '../session/crashes.ts';
import { historyLines, surplus } from '../session/record.ts';

interface Undisturbed {
  readonly answers: readonly Answer[];
  /** Writes that lasted: the points at which something is to happen. */
  readonly commits: number;
  readonly history: readonly string[];
}

/** What the session leads to when nothing happens to it. */
async function undisturbed(commands: readonly Command[]): Promise<Undisturbed> {
  await using database = await testDatabase();
  await using proxy = await WireProxy.to(targetOf(database.url), { isWrite: storesSomething });
  const store = await openStore({ url: proxy.urlFor(database.url), applicationName: 'session' });
  const answers: Answer[] = [];
  for (const command of commands) answers.push(await execute(store, command));
  await store.close();
  return { answers, commits: proxy.counts.landed, history: await historyLines(database.url) };
}

/** The same session with faults, held against the one without. */
async function disturbed(commands: readonly Command[], expected: Undisturbed, faults: Faults) {
  await using database = await testDatabase();
  const { answers, counts } = await runWithFaults(database.url, commands, faults);
  const history = await historyLines(database.url);
  return {
    counts,
    lost: surplus(expected.history, history),
    doubled: surplus(history, expected.history),
    differing: answers.filter((answer, i) => String(answer) !== String(expected.answers[i])).length,
  };
}

export const crashAtCommit: Scenario = {
  row: '2',
  name: 'crash-at-commit',
  what: 'every COMMIT of a session is met by SIGKILL before it lands and after, and in another run its answer is lost: each command, done again under its key, is done once',
  run: async ({ size }) => {
    const commands = session(sized(size, 12, 200));
    const expected = await undisturbed(commands);
    const killed = await disturbed(commands, expected, 'kills');
    const unheard = await disturbed(commands, expected, 'lost-answers');
    const lost = [...killed.lost, ...unheard.lost];
    const doubled = [...killed.doubled, ...unheard.doubled];
    const differing = killed.differing + unheard.differing;
    const [before, after] = [killed.counts['killed-before'], killed.counts['killed-after']];
    const answersLost = unheard.counts['answer-lost'];
    const { commits } = expected;
    return judge(
      [
        { what: `revisions lost: ${lost.slice(0, 3).join('; ')}`, held: lost.length === 0 },
        { what: `revisions doubled: ${doubled.slice(0, 3).join('; ')}`, held: doubled.length === 0 },
        { what: `${differing} commands answered otherwise than undisturbed`, held: differing === 0 },
        {
          what: `of ${commits} COMMITs ${before}, ${after} and ${answersLost} were met`,
          held: commits > 0 && [before, after, answersLost].every((n) => n === commits),
        },
      ],
      {
        figure: `${commands.length} commands, ${commits} COMMITs: ${before} killed before, ${after} after, ${answersLost} answers lost: ${lost.length} goals lost, ${doubled.length} doubled`,
        limit: '0 lost, 0 doubled',
        detail: {
          commands: commands.length,
          commits,
          killedBefore: before,
          killedAfter: after,
          answersLost,
          revisions: expected.history.length,
          lost: lost.length,
          doubled: doubled.length,
          differing,
        },
      },
    );
  },
};
