import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { targetOf, WireProxy, type WriteWatch } from '../../test/support/wire.ts';
import type { Answer, Command } from './commands.ts';
import type { Report } from './worker.ts';

/**
 * Runs a session in processes of its own, and makes a fault at every write that would last. A process that died is
 * followed by one that goes on at the command in hand.
 *
 * - `kills`: SIGKILL at each, once before it lands and once after.
 * - `lost-answers`: each lands, and the connection breaks before the process hears of it; the process lives on.
 */
export type Faults = 'kills' | 'lost-answers';

export interface CrashRun {
  readonly answers: readonly Answer[];
  readonly counts: Readonly<Record<Phase, number>>;
}

const WORKER = join(import.meta.dirname, 'worker.ts');
type Phase = 'killed-before' | 'killed-after' | 'answer-lost';

/** Whether a statement changes the store when it is not part of a transaction. */
export const storesSomething = (statement: string): boolean =>
  /\b(?:(?:insert into|update|delete from) bulkhead\.|bulkhead\.record_turn\()/.test(statement);

/** A process that has loaded everything and waits for its orders, so that the next one is there at once. */
class Spare {
  readonly child: ChildProcess;
  readonly #loaded: Promise<void>;

  constructor() {
    this.child = fork(WORKER, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#loaded = new Promise((resolve) => this.child.once('message', () => resolve()));
  }

  async ready(): Promise<ChildProcess> {
    await this.#loaded;
    return this.child;
  }
}

class Crashes {
  readonly #url: string;
  readonly #commands: readonly Command[];
  readonly #faults: Faults;
  readonly #done = new Set<string>();
  readonly #counts: Record<Phase, number> = { 'killed-before': 0, 'killed-after': 0, 'answer-lost': 0 };
  readonly #answers: Answer[] = [];
  #index = 0;
  /** Which COMMIT of the command in hand comes next, since it was begun the last time. */
  #ordinal = 0;
  #child: ChildProcess | null = null;
  #spare = new Spare();

  constructor(url: string, commands: readonly Command[], faults: Faults) {
    this.#faults = faults;
    this.#url = url;
    this.#commands = commands;
  }

  async run(): Promise<CrashRun> {
    await using proxy = await WireProxy.to(targetOf(this.#url), {
      isWrite: storesSomething,
      before: () => (this.#faults === 'kills' && this.#take('killed-before') ? 'cut' : 'pass'),
      after: (write) => this.#after(write),
    });
    try {
      while (this.#answers.length < this.#commands.length) await this.#life(proxy.urlFor(this.#url));
    } finally {
      this.#child?.kill('SIGKILL');
      this.#spare.child.kill('SIGKILL');
    }
    return { answers: this.#answers, counts: this.#counts };
  }

  /** One process from its orders to its end. */
  async #life(url: string): Promise<void> {
    const child = await this.#spare.ready();
    this.#child = child;
    this.#spare = new Spare();
    const failure = new Promise<string | null>((resolve) => {
      child.on('message', (message: Report) => this.#onReport(child, message, resolve));
      child.once('exit', () => resolve(null));
    });
    child.send({ url, commands: this.#commands, from: this.#answers.length });
    const error = await failure;
    if (error !== null) throw new Error(error);
  }

  #onReport(child: ChildProcess, message: Report, fail: (error: string) => void): void {
    if (message.kind === 'asks') {
      this.#index = message.index;
      this.#ordinal = 0;
      child.send('go');
    } else if (message.kind === 'done') {
      this.#answers[message.index] = message.answer;
    } else if (message.kind === 'failed') {
      fail(`command ${message.index} (${this.#commands[message.index]?.do}): ${message.error}`);
    }
  }

  #after(_write: WriteWatch): 'pass' | 'cut' {
    if (this.#take(this.#faults === 'kills' ? 'killed-after' : 'answer-lost')) return 'cut';
    this.#ordinal += 1;
    return 'pass';
  }

  /** Whether this fault is still due at this COMMIT; if so, it is done now. */
  #take(phase: Phase): boolean {
    const point = `${this.#index}/${this.#ordinal}/${phase}`;
    if (this.#done.has(point)) return false;
    this.#done.add(point);
    this.#counts[phase] += 1;
    if (phase !== 'answer-lost') this.#child?.kill('SIGKILL');
    return true;
  }
}

/** @throws Error when a command fails for good */
export const runWithFaults = (url: string, commands: readonly Command[], faults: Faults): Promise<CrashRun> =>
  new Crashes(url, commands, faults).run();
