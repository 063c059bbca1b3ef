import { setTimeout as sleep } from 'node:timers/promises';
import { StoreError } from '../../src/ports/store.ts';
import { testDatabase } from '../../test/support/postgres.ts';
import { applyAll, numbered, specOf, timeEdit, untilRunning, untilServed } from '../jobs.ts';
import { holdLocks } from '../locks.ts';
import { startReplicas } from '../replicas.ts';
import { judge, median, type Scenario, seconds, sized } from '../scenario.ts';

const RUN_LIMIT_MS = 60_000;
const MAX_RATIO = 2;
/** Longer than the 10 s that a statement may take. */
const HOLD_MS = 12_000;
const CANCEL_LIMIT_MS = 15_000;
const VICTIM = 'victim';

export const lockWait: Scenario = {
  row: '7',
  name: 'lock-wait',
  what: 'somebody keeps the rows of one job locked: statements that wait for them are cancelled and tried again, and the other jobs hardly notice',
  alone: true,
  run: async ({ size, stage }) => {
    const { kubeconfigPath: kubeconfig } = await stage.cluster();
    await using database = await testDatabase();
    const { store, url, superuserUrl } = database;
    const [replica] = await startReplicas(superuserUrl, [{ name: 'locks', databaseUrl: url, kubeconfig }]);
    await using _replica = replica;
    const others = numbered(sized(size, 4, 8));
    const [victim] = await applyAll(store, [VICTIM], specOf('app:1'));
    if (!victim) throw new Error('no job was written');
    await untilRunning(store, [victim, ...(await applyAll(store, others, specOf('app:1')))], RUN_LIMIT_MS);
    const rows = (table: string) => `select from bulkhead.${table} where job_id = '${victim.id}' for update`;

    const [free, held]: [number[], number[]] = [[], []];
    let image = 1;
    const editOthers = async (into: number[]): Promise<void> => {
      image += 1;
      for (const name of others) into.push(await timeEdit(store, name, `app:${image}`));
    };
    // The job has something to record and cannot, all the while that the others are measured.
    const editHeld = async (): Promise<void> => {
      await using _lock = await holdLocks(superuserUrl, [rows('observation')]);
      await applyAll(store, [VICTIM], specOf(`app:${image + 1}`));
      await editOthers(held);
    };
    for (let pair = 0; pair < sized(size, 2, 10); pair += 1) {
      // Whatever drifts on this machine meets both alike.
      if (pair % 2 === 0) await editOthers(free);
      await editHeld();
      if (pair % 2 === 1) await editOthers(free);
    }

    const lock = await holdLocks(superuserUrl, [rows('observation'), rows('goal_head')]);
    const askedAt = performance.now();
    const write = applyAll(store, [VICTIM], specOf('app:not-now')).then(
      () => 'stored',
      (error: unknown) => (error instanceof StoreError ? error.kind : String(error)),
    );
    await sleep(HOLD_MS);
    await editOthers(held);
    const answer = await write;
    const cancelledMs = performance.now() - askedAt;
    await lock.release();
    const [last] = await applyAll(store, [VICTIM], specOf('app:at-last'));
    const servedMs = await untilServed(store, last ? [last] : [], RUN_LIMIT_MS);
    const ratio = median(held) / median(free);
    return judge(
      [
        { what: `others took ${ratio.toFixed(2)} times as long`, held: ratio <= MAX_RATIO },
        { what: `the write that waited ended as ${answer}`, held: answer === 'unavailable' },
        {
          what: `the write was cancelled after ${seconds(cancelledMs)}`,
          held: cancelledMs <= HOLD_MS + CANCEL_LIMIT_MS,
        },
      ],
      {
        figure: `others ×${ratio.toFixed(2)} (${Math.round(median(held))} against ${Math.round(median(free))} ms, ${held.length} + ${free.length} edits); the waiting write: ${answer}; served ${seconds(servedMs)} after the release`,
        limit: '×2, cancelled and retried',
        detail: { ratio, heldMs: held.map(Math.round), freeMs: free.map(Math.round), answer, cancelledMs, servedMs },
      },
    );
  },
};
