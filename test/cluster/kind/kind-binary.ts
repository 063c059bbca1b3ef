import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached, hashOf } from '../cache.ts';
import { goBuild } from '../images/go-build.ts';
import { CommandError, run, step } from '../progress.ts';

/** kind itself as a Go module, and the small programs that the node image needs. */
export const TOOLS = fileURLToPath(new URL('./tools', import.meta.url));

/** That of tools/go.mod: an older one cannot set up the node image that goes with it. */
const LEAST_MINOR = 33;

/** The path of `kind`: the user's own, if it is new enough, else built from its Go module. */
export async function kindBinary(): Promise<string> {
  if (await usersKindIsNewEnough()) return 'kind';
  return join(await tools(), 'kind');
}

async function usersKindIsNewEnough(): Promise<boolean> {
  try {
    const [, major, minor] = /v(\d+)\.(\d+)/.exec(await run('kind', ['version'])) ?? [];
    return Number(major) > 0 || Number(minor) >= LEAST_MINOR;
  } catch (error) {
    // It is not installed, or does not work: ours will.
    if (error instanceof CommandError) return false;
    throw error;
  }
}

/** A folder with `kind` and `pause`, static programs built from ./tools. */
export async function tools(): Promise<string> {
  const hash = await hashOf({ path: TOOLS }, process.arch);
  return await cached('kind-tools', hash, (dir) =>
    step('Building kind from its Go module', () => build(dir), { typical: '15 s to 1 min' }),
  );
}

async function build(dir: string): Promise<void> {
  for (const [name, source] of Object.entries({ kind: 'sigs.k8s.io/kind', pause: './pause' })) {
    await goBuild(TOOLS, source, join(dir, name));
  }
}

/** The folder of kind's sources in Go's module cache. */
export async function kindModuleDir(): Promise<string> {
  await run('go', ['mod', 'download', 'sigs.k8s.io/kind'], { cwd: TOOLS });
  return await run('go', ['list', '-m', '-f', '{{.Dir}}', 'sigs.k8s.io/kind'], { cwd: TOOLS });
}
