import { delimiter } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { localkube } from './localkube.ts';
import { CommandError, run } from './progress.ts';

/** `bulkhead` and `kubectl-bulkhead`, so that `kubectl bulkhead` works here without installing anything. */
const BIN = fileURLToPath(new URL('../../bin', import.meta.url));

/**
 * Runs kubectl with this terminal as its own: the machine's, or, where there is none, the one that the local clusters
 * are built with, which takes Go and minutes the first time.
 * @returns its exit code
 */
export async function kubectl(args: readonly string[], kubeconfigPath: string): Promise<number> {
  const [command, ...first] = (await isOnPath()) ? ['kubectl'] : [await localkube(), 'kubectl'];
  const env = { KUBECONFIG: kubeconfigPath, PATH: [BIN, process.env.PATH].join(delimiter) };
  const { exitCode } = await execa(command, [...first, ...args], { env, stdio: 'inherit', reject: false });
  return exitCode ?? 1;
}

async function isOnPath(): Promise<boolean> {
  try {
    await run('kubectl', ['version', '--client']);
    return true;
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}
