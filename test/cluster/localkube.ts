import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached, hashOf } from './cache.ts';
import { CommandError, run, step } from './progress.ts';

/** The version of Kubernetes in localkube/go.mod, as `kubectl version` shows it. */
export const KUBERNETES_VERSION = 'v1.36.3';

const SOURCE = fileURLToPath(new URL('./localkube', import.meta.url));
const [, MAJOR, MINOR] = /^v(\d+)\.(\d+)/.exec(KUBERNETES_VERSION) ?? [];
const VERSION_PACKAGE = 'k8s.io/component-base/version';
const LDFLAGS = [
  '-s -w',
  `-X ${VERSION_PACKAGE}.gitVersion=${KUBERNETES_VERSION}`,
  `-X ${VERSION_PACKAGE}.gitMajor=${MAJOR}`,
  `-X ${VERSION_PACKAGE}.gitMinor=${MINOR}`,
].join(' ');

/**
 * The path of the binary that holds every program of Kubernetes (see localkube/main.go): `localkube kubectl …`, or a
 * link named after the program. Built with Go when the cache has none for these sources. It is static, so it runs in
 * any Linux image.
 */
export async function localkube(): Promise<string> {
  const hash = await hashOf({ path: SOURCE }, await goVersion(), LDFLAGS, process.arch);
  const dir = await cached('localkube', hash, (tmpDir) =>
    step('Building Kubernetes from Go modules', () => build(join(tmpDir, 'localkube')), {
      typical: '8–16 min the first time, on 2 cores',
    }),
  );
  return join(dir, 'localkube');
}

async function build(binary: string): Promise<void> {
  // -v names each package, which the step shows; GOFLAGS of the user's own could ask for a vendor folder.
  const args = ['build', '-v', '-buildvcs=false', `-ldflags=${LDFLAGS}`, '-o', binary, '.'];
  await run('go', args, { cwd: SOURCE, env: { CGO_ENABLED: '0', GOOS: 'linux', GOFLAGS: '' } });
}

/** The Go release that will build it, e.g. "go1.26.8". Go itself says what is wrong when it is older than go.mod asks. */
async function goVersion(): Promise<string> {
  try {
    return await run('go', ['env', 'GOVERSION'], { cwd: SOURCE });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const found = error.code === 'ENOENT' ? 'no `go` is on the PATH' : `\`go\` answers: ${error.message}`;
    throw new Error(
      `Go 1.26 or newer is needed to build the local Kubernetes, but ${found}. Install it from go.dev/dl.`,
      {
        cause: error,
      },
    );
  }
}
