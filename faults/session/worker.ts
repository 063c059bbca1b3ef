import { setTimeout as sleep } from 'node:timers/promises';
import { openStore } from '../../src/store/open.ts';
import { type Answer, type Command, execute } from './commands.ts';

/**
 * Works through a session from one command on, until it is killed or done. Before each command it asks, so that who
 * starts it knows what every COMMIT belongs to.
 */
export interface Orders {
  readonly url: string;
  readonly commands: readonly Command[];
  readonly from: number;
}

export type Report =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'asks'; readonly index: number }
  | { readonly kind: 'done'; readonly index: number; readonly answer: Answer; readonly tries: number }
  | { readonly kind: 'failed'; readonly index: number; readonly error: string };

const TRIES = 4;
const PAUSE_MS = 20;

const report = (message: Report): void => {
  process.send?.(message);
};
const next = <T>(): Promise<T> => new Promise((resolve) => process.once('message', (message) => resolve(message as T)));

/** As a person does who reads "try again". @returns the answer and how many tries it took */
async function withRetries(work: () => Promise<Answer>): Promise<{ answer: Answer; tries: number }> {
  for (let tries = 1; ; tries += 1) {
    try {
      return { answer: await work(), tries };
    } catch (error) {
      if (tries === TRIES) throw error;
      await sleep(PAUSE_MS);
    }
  }
}

// Its parent has ended, in whatever way.
process.once('disconnect', () => process.exit(1));
report({ kind: 'loaded' });
const { url, commands, from } = await next<Orders>();
const store = await openStore({ url, applicationName: 'session', maxConnections: 2 });
for (let index = from; index < commands.length; index += 1) {
  const command = commands[index] as Command;
  report({ kind: 'asks', index });
  await next();
  try {
    report({ kind: 'done', index, ...(await withRetries(() => execute(store, command))) });
  } catch (error) {
    report({ kind: 'failed', index, error: error instanceof Error ? error.message : String(error) });
  }
}
await store.close();
process.disconnect();
