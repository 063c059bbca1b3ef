import { testDatabase } from '../../test/support/postgres.ts';
import { until } from '../../test/support/until.ts';
import { targetOf, type WireConnection, WireProxy } from '../../test/support/wire.ts';
import { applyAll, numbered, specOf, timeEdit, untilRunning } from '../jobs.ts';
import { startReplicas } from '../replicas.ts';
import { judge, type Scenario, seconds, sized } from '../scenario.ts';

const RUN_LIMIT_MS = 60_000;
const SEEN_LIMIT_MS = 30_000;
const RELISTEN_LIMIT_MS = 60_000;
/** At once, and not only with the next poll. */
const READ_LIMIT_MS = 1_000;

const isHints = ({ applicationName }: Pick<WireConnection, 'applicationName'>): boolean =>
  applicationName.endsWith('(hints)');

export const halfOpenListen: Scenario = {
  row: '9',
  name: 'half-open-listen',
  what: 'the connection of the hints falls silent, or loses its hints alone: a change is seen within 30 s all the same; LISTEN comes first again, then the read from the cursor',
  run: async ({ size, stage }) => {
    const { kubeconfigPath: kubeconfig } = await stage.cluster();
    await using database = await testDatabase();
    const { store, url, superuserUrl } = database;
    const statements: { readonly text: string; readonly hints: boolean; readonly atMs: number }[] = [];
    await using wire = await WireProxy.to(targetOf(url), {
      onStatement: (text, applicationName) =>
        statements.push({ text, hints: isHints({ applicationName }), atMs: performance.now() }),
    });
    const options = { name: 'half-open', databaseUrl: wire.urlFor(url), kubeconfig };
    const [replica] = await startReplicas(superuserUrl, [options]);
    await using _replica = replica;
    const names = numbered(3);
    await untilRunning(store, await applyAll(store, names, specOf('app:1')), RUN_LIMIT_MS);
    const hints = () => [...wire.connections].filter(isHints);
    const name = names[0] ?? '';
    let image = 1;
    const edit = (): Promise<number> => {
      image += 1;
      return timeEdit(store, name, `app:${image}`, 2 * SEEN_LIMIT_MS);
    };

    const usualMs = await edit();
    const silent: number[] = [];
    const deaf: number[] = [];
    /** From LISTEN to the read from the cursor. */
    const gaps: number[] = [];
    for (let i = 0; i < sized(size, 1, 5); i += 1) {
      const from = statements.length;
      for (const connection of hints()) connection.freeze();
      silent.push(await edit());
      const listens = () => statements.findIndex(({ text, hints }, at) => at >= from && hints && /^listen/i.test(text));
      await until('it listens again', RELISTEN_LIMIT_MS, () => listens() >= 0);
      const reads = () => statements.findIndex(({ text }, at) => at > listens() && text.includes('changed_since'));
      await until('it reads from the cursor', RELISTEN_LIMIT_MS, () => reads() >= 0);
      gaps.push((statements[reads()]?.atMs ?? 0) - (statements[listens()]?.atMs ?? 0));
      for (const connection of hints()) connection.deafen();
      deaf.push(await edit());
      wire.dropAll();
    }
    const worst = Math.max(...silent, ...deaf);
    return judge(
      [
        { what: `a change was seen after ${seconds(worst)}`, held: worst <= SEEN_LIMIT_MS },
        { what: `the read came ${seconds(Math.max(...gaps))} after LISTEN`, held: Math.max(...gaps) <= READ_LIMIT_MS },
      ],
      {
        figure: `seen after ${seconds(Math.max(...silent))} in silence, ${seconds(Math.max(...deaf))} without hints (usually ${Math.round(usualMs)} ms); ${Math.round(Math.max(...gaps))} ms from LISTEN to the cursor`,
        limit: '30 s',
        detail: {
          usualMs,
          silentMs: silent.map(Math.round),
          deafMs: deaf.map(Math.round),
          gapsMs: gaps.map(Math.round),
        },
      },
    );
  },
};
