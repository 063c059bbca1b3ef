import { createInterface } from 'node:readline/promises';
import { CliError } from './errors.ts';

/** Whether there is a person who can be asked. */
export const canAsk = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true;

/** Asks on stderr, so that piped data stay clean. Anything but yes is no; so is Ctrl-C and the end of input. */
export async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const closed = new AbortController();
  terminal.once('close', () => closed.abort());
  try {
    const answer = await terminal.question(`${question} [y/N] `, { signal: closed.signal });
    return /^y(es)?$/i.test(answer.trim());
  } catch {
    // Aborted: the input ended or was interrupted, which is an answer.
    return false;
  } finally {
    terminal.close();
  }
}

/**
 * Goes on only with a person's word: --yes, or yes to the question.
 * @param question a sentence, with its question mark
 * @throws CliError on a no, and where nobody can be asked
 */
export async function requireYes(question: string, options: { readonly yes?: true }): Promise<void> {
  if (options.yes) return;
  if (!canAsk()) throw new CliError(`${question} There is no terminal to ask on: say --yes if it is meant`);
  if (!(await confirm(question))) throw new CliError('nothing was changed');
}
