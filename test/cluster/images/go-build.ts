import { CommandError, run } from '../progress.ts';

/** Builds a static Linux program out of the Go module in `moduleDir`. `source` is a package: a path, or its name. */
export async function goBuild(moduleDir: string, source: string, out: string): Promise<void> {
  const args = ['build', '-v', '-trimpath', '-buildvcs=false', '-ldflags=-s -w', '-o', out, source];
  // A vendor folder or a workspace of the user's own is not for these modules.
  const env = { CGO_ENABLED: '0', GOOS: 'linux', GOFLAGS: '', GOWORK: 'off' };
  try {
    await run('go', args, { cwd: moduleDir, env });
  } catch (error) {
    if (!(error instanceof CommandError) || error.code !== 'ENOENT') throw error;
    throw new Error('Go 1.26 or newer is needed, but no `go` is on the PATH. Install it from go.dev/dl.', {
      cause: error,
    });
  }
}
