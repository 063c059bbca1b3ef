import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cached, hashOf } from '../../test/cluster/cache.ts';
import { CommandError, run, step } from '../../test/cluster/progress.ts';

const folderOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** The CustomResourceDefinition of the Cells. */
export const CELL_CRD = folderOf('operator/crd.yaml');

/** The path of the replay. Needs Go the first time. */
export const replayBinary = (): Promise<string> => goYardstick('replay', '5–30 s');

/** The path of the controller-runtime operator. Needs Go the first time. */
export const operatorBinary = (): Promise<string> =>
  goYardstick('operator', '20 s where this machine has built localkube, else 3–6 min, on 2 cores');

/** How the kopf operator is started. Needs Python 3.10 or newer and its package index the first time. */
export async function kopfCommand(kubeconfigPath: string): Promise<[string, ...string[]]> {
  // -B: no compiled files beside the sources.
  return [await kopfPython(), '-B', folderOf('kopf/main.py'), '--kubeconfig', kubeconfigPath];
}

async function goYardstick(name: 'replay' | 'operator', typical: string): Promise<string> {
  const folder = folderOf(name);
  const hash = await hashOf({ path: folder }, process.arch);
  const dir = await cached(`yardstick-${name}`, hash, (tmpDir) =>
    step(`Building the yardstick ${name} with Go`, () => goBuild(folder, join(tmpDir, name)), { typical }),
  );
  return join(dir, name);
}

/** With the flags of test/cluster/localkube.ts, so that what was compiled for that is used again. */
async function goBuild(folder: string, out: string): Promise<void> {
  const args = ['build', '-v', '-buildvcs=false', '-ldflags=-s -w', '-o', out, '.'];
  const env = { CGO_ENABLED: '0', GOOS: 'linux', GOFLAGS: '', GOWORK: 'off' };
  await orMissing('Go 1.26 or newer is needed, but no `go` is on the PATH. Install it from go.dev/dl.', () =>
    run('go', args, { cwd: folder, env }),
  );
}

/** The path of a Python that has kopf and the official client. */
async function kopfPython(): Promise<string> {
  const remedy =
    'Python 3.10 or newer is needed, but no `python3` is on the PATH. Install it: apt-get install python3-venv';
  const version = await orMissing(remedy, () => run('python3', ['--version']));
  const requirements = folderOf('kopf/requirements.txt');
  const hash = await hashOf({ path: requirements }, version, process.arch);
  const dir = await cached('yardstick-kopf', hash, (tmpDir) =>
    step('Installing the yardstick kopf', () => install(requirements, tmpDir), { typical: '20 s to 1 min' }),
  );
  return pythonOf(dir);
}

const pythonOf = (venv: string): string => join(venv, 'bin/python');

/** The folder is renamed afterwards: `bin/python` finds its packages from where it lies, the scripts beside it do not. */
async function install(requirements: string, venv: string): Promise<void> {
  await run('python3', ['-m', 'venv', venv]);
  const quiet = ['--disable-pip-version-check', '--no-input', '--only-binary', ':all:'];
  await run(pythonOf(venv), ['-m', 'pip', 'install', ...quiet, '--requirement', requirements]);
}

async function orMissing<T>(remedy: string, start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    if (error instanceof CommandError && error.code === 'ENOENT') throw new Error(remedy, { cause: error });
    throw error;
  }
}
