import { join, resolve } from 'node:path';
import { execa } from 'execa';

const CHECKOUT = resolve(import.meta.dirname, '../..');
const LIMIT_MS = 60_000;

/** What a command was given, and all that it said. */
export interface Said {
  readonly exitCode: number | undefined;
  readonly text: string;
}

/** Runs the real command line with --debug, which says the most. Never rejects for what the command does. */
export async function bulkhead(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Said> {
  const result = await execa(process.execPath, [join(CHECKOUT, 'src/cli/main.ts'), ...args, '--debug'], {
    cwd: CHECKOUT,
    // What this process was given is not for the command: it would take secrets of the surroundings for its own.
    extendEnv: false,
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', NO_COLOR: '1', ...env },
    timeout: LIMIT_MS,
    reject: false,
  });
  return { exitCode: result.exitCode, text: `${result.stdout}\n${result.stderr}` };
}
