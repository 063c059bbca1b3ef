import { withLock } from '../lock.ts';
import { CommandError, note, type RunOptions, run } from '../progress.ts';
import { SYSTEM_PATH } from './packages.ts';
import {
  installDocker,
  privateDockerEnv,
  privateDockerIsInUse,
  privateDockerLockName,
  privateDockerRuns,
  startPrivateDocker,
  stopPrivateDocker,
} from './private-docker.ts';

const KIND_LABEL = 'io.x-k8s.kind.cluster';

/** A Docker daemon that answers. */
export interface Docker {
  /** Bulkhead's own, which nobody else uses; otherwise the user's. */
  readonly isPrivate: boolean;
  /** For the docker command and kind. */
  readonly env: Record<string, string>;
}

const USERS: Docker = { isPrivate: false, env: { PATH: SYSTEM_PATH } };

/** Runs the docker command against the daemon and returns its stdout. */
export async function docker(it: Docker, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return await run('docker', args, { ...options, env: it.env });
}

/** The containers that are nodes of the kind cluster, or of any; running ones only, unless `all`. */
export async function nodeContainers(it: Docker, cluster?: string, { all = false } = {}): Promise<string[]> {
  const label = cluster ? `${KIND_LABEL}=${cluster}` : KIND_LABEL;
  const args = ['ps', ...(all ? ['--all'] : []), '--filter', `label=${label}`, '--format', '{{.Names}}'];
  return (await docker(it, args)).split('\n').filter(Boolean);
}

/**
 * Runs `fn` with the Docker daemon to use, started first if need be: the user's own, if `DOCKER_HOST` or the default
 * context answers, else a private one (Debian, root). While `fn` runs, no other run starts or stops the private one.
 */
export async function withDocker<T>(fn: (it: Docker) => Promise<T>): Promise<T> {
  if (await usersDockerIsToUse()) return await fn(USERS);
  return await withPrivateLock(async () => {
    await installDocker();
    // Where systemd runs, its package has started it.
    if (await usersDockerIsToUse()) return await fn(USERS);
    await startPrivateDocker();
    return await fn(privateDocker());
  });
}

/** Like {@link withDocker}, but starts nothing: `undefined` when no daemon runs. */
export async function withRunningDocker<T>(fn: (it: Docker | undefined) => Promise<T>): Promise<T> {
  if (await usersDockerIsToUse()) return await fn(USERS);
  return await withPrivateLock(async () => fn((await privateDockerRuns()) ? privateDocker() : undefined));
}

/** The daemon that runs, for a look; nothing keeps it from stopping meanwhile. */
export async function runningDocker(): Promise<Docker | undefined> {
  if (await usersDockerIsToUse()) return USERS;
  return (await privateDockerRuns()) ? privateDocker() : undefined;
}

/**
 * Stops the private daemon if no kind cluster runs on it, and clears away what a killed one left. Inside
 * {@link withRunningDocker}.
 */
export async function stopDockerIfUnused(it: Docker | undefined): Promise<void> {
  if (it && !it.isPrivate) return;
  if (it) {
    if ((await nodeContainers(it)).length > 0) return;
    for (const what of ['container', 'network', 'volume']) await docker(it, [what, 'prune', '--force']);
  }
  await stopPrivateDocker();
}

function privateDocker(): Docker {
  return { isPrivate: true, env: privateDockerEnv() };
}

async function withPrivateLock<T>(fn: () => Promise<T>): Promise<T> {
  return await withLock(privateDockerLockName(), fn, () =>
    note('Another run is starting or stopping a cluster; waiting for it.'),
  );
}

/** Whoever has a private daemon keeps to it until it is down, also when they start a Docker of their own meanwhile. */
async function usersDockerIsToUse(): Promise<boolean> {
  if (await privateDockerIsInUse()) return false;
  try {
    const args = ['version', '--format', '{{.Server.Version}}'];
    await run('docker', args, { env: USERS.env, timeout: 10_000 });
    return true;
  } catch (error) {
    // Not installed, not running, or no permission: all mean that there is none for us.
    if (error instanceof CommandError) return false;
    throw error;
  }
}
