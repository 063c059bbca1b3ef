import { createInterface } from 'node:readline/promises';

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
