import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { alive, logTail, startDaemon, stopDaemon } from '../processes.ts';
import { CommandError, note, run, step } from '../progress.ts';
import { footprintIsOpen, networkTraces, recordFootprint, restoreFootprint } from './footprint.ts';
import { clearLeftovers, findDockerd, mountsBelow, ownedProcesses } from './leftovers.ts';
import { lookAtMachine } from './machine.ts';
import { ensurePrograms, findProgram, SYSTEM_PATH } from './packages.ts';
import { MARKER, type PrivateLayout, privateLayout } from './private-layout.ts';

const RUNC_WRAPPER = fileURLToPath(new URL('./runc-wrapper.sh', import.meta.url));
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const POLL_MS = 100;

/** How the docker command and kind reach the private daemon. */
export function privateDockerEnv(): Record<string, string> {
  const { socket, dir } = privateLayout();
  return { DOCKER_HOST: `unix://${socket}`, DOCKER_CONFIG: join(dir, 'config'), PATH: SYSTEM_PATH };
}

/** Held while the private daemon starts, stops, or is counted on: `down` of one checkout must not stop it for another. */
export function privateDockerLockName(): string {
  return `docker ${privateLayout().dir}`;
}

/** Whether it was started since the machine booted and not stopped since; it may have been killed. */
export async function privateDockerIsInUse(): Promise<boolean> {
  return await footprintIsOpen(privateLayout().footprint);
}

/** Whether it runs and answers. */
export async function privateDockerRuns(): Promise<boolean> {
  const { pidFiles } = privateLayout();
  if (!(await alive(pidFiles.docker)) || !(await alive(pidFiles.containerd))) return false;
  return await answers();
}

async function answers(): Promise<boolean> {
  try {
    await run('docker', ['version', '--format', '{{.Server.Version}}'], { env: privateDockerEnv(), timeout: 5_000 });
    return true;
  } catch (error) {
    // That it does not answer is the answer.
    if (error instanceof CommandError) return false;
    throw error;
  }
}

/** Installs what a private daemon needs, where that is missing: on Debian as root. Throws what the user can do elsewhere. */
export async function installDocker(): Promise<void> {
  const { isRoot, debianRelease } = await lookAtMachine();
  if (!isRoot) {
    throw new Error(
      'No Docker daemon answers. Start Docker, or set DOCKER_HOST; or run this as root on Debian, where it installs ' +
        'and starts a private one.',
    );
  }
  const remedy = 'Start Docker, or install it (docs.docker.com/engine/install), and try again.';
  await ensurePrograms(programsFor(debianRelease), remedy);
}

/** Starts the private daemon unless it runs. The caller holds the lock of {@link privateDockerLockName}. */
export async function startPrivateDocker(): Promise<void> {
  if (await privateDockerRuns()) return;
  const it = privateLayout();
  await step('Starting a private Docker daemon', () => start(it), { typical: '3 s' });
}

/** Each program the daemon needs → its Debian package. */
function programsFor(release: string | undefined): Record<string, string> {
  // From Debian 13 on, the docker command has a package of its own.
  const docker = release === 'bookworm' || release === 'bullseye' ? 'docker.io' : 'docker-cli';
  const daemons = { containerd: 'containerd', dockerd: 'docker.io', runc: 'runc' };
  return { ...daemons, docker, iptables: 'iptables', nft: 'nftables', ip: 'iproute2', umount: 'mount' };
}

async function start(it: PrivateLayout): Promise<void> {
  await endDaemons(it);
  await refuseSecondDaemon();
  await mkdir(it.runDir, { recursive: true, mode: 0o700 });
  await recordFootprint(it.footprint);
  await writeSettings(it);
  try {
    await startBoth(it);
    await removeContainers();
  } catch (error) {
    // What a killed daemon left of its data may keep it from starting. It is only a cache.
    note(`${error instanceof Error ? error.message : String(error)}\nTrying once more with empty data.`);
    await endDaemons(it);
    await removeData(it);
    await startBoth(it);
  }
}

/** They would remove each other's firewall rules: the chains have the same names. */
async function refuseSecondDaemon(): Promise<void> {
  const other = await findDockerd(MARKER);
  if (!other) return;
  const remedy = other.value
    ? `It is the private one of another cache folder: set BULKHEAD_CACHE=${dirname(other.value)}, or end it by ` +
      '`npm run cluster -- down` with that setting.'
    : 'It does not answer as the docker command is set up now: see DOCKER_HOST and `docker context ls`.';
  throw new Error(`A Docker daemon runs on this machine already (process ${other.pid}). ${remedy}`);
}

async function startBoth(it: PrivateLayout): Promise<void> {
  const env = { PATH: SYSTEM_PATH, ...markerEnv(it) };
  const containerd = ['--config', join(it.dir, 'containerd.toml')];
  await startOne(it.logs.containerd, it.pidFiles.containerd, 'containerd', containerd, env);
  const dockerd = [
    ...['--config-file', join(it.dir, 'daemon.json'), '--host', `unix://${it.socket}`],
    ...['--containerd', it.containerdSocket, '--pidfile', join(it.runDir, 'docker.pid')],
    ...['--data-root', join(it.dir, 'data'), '--exec-root', join(it.runDir, 'exec')],
  ];
  await startOne(it.logs.docker, it.pidFiles.docker, 'dockerd', dockerd, env);
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!(await answers())) {
    const dead = !(await alive(it.pidFiles.docker));
    if (dead || performance.now() > deadline) {
      const what = dead ? 'ended' : `did not answer within ${START_TIMEOUT_MS / 1000} s`;
      throw new Error(
        `The private Docker daemon ${what}. Its log, ${it.logs.docker}:\n${await logTail(it.logs.docker)}`,
      );
    }
    await sleep(POLL_MS);
  }
}

/** Docker would start again what ran when it was killed: nodes of clusters that nobody may want any more. */
async function removeContainers(): Promise<void> {
  const env = privateDockerEnv();
  const ids = (await run('docker', ['ps', '--all', '--quiet'], { env })).split('\n').filter(Boolean);
  if (ids.length > 0) await run('docker', ['rm', '--force', '--volumes', ...ids], { env });
  for (const what of ['network', 'volume']) await run('docker', [what, 'prune', '--force'], { env });
}

async function startOne(
  logFile: string,
  pidFile: string,
  program: string,
  args: string[],
  env: Record<string, string>,
): Promise<void> {
  await rm(logFile, { force: true });
  await startDaemon({ pidFile, logFile, command: (await findProgram(program)) ?? program, args, env });
}

function markerEnv({ owned }: PrivateLayout): Record<string, string> {
  return { [MARKER]: owned.marker.slice(MARKER.length + 1) };
}

async function writeSettings(it: PrivateLayout): Promise<void> {
  await writeFile(
    join(it.dir, 'containerd.toml'),
    `version = 2
root = "${it.dir}/containerd"
state = "${it.runDir}/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${it.containerdSocket}"
`,
  );
  const settings: Record<string, unknown> = {
    'cgroup-parent': `/${it.owned.cgroup}`,
    'exec-opts': ['native.cgroupdriver=cgroupfs'],
    // kind makes a network of its own; the default bridge would only be in the way of another Docker.
    bridge: 'none',
    'log-opts': { 'max-size': '10m' },
  };
  if ((await lookAtMachine()).lacksSysResource) {
    const path = join(it.dir, 'runc-wrapper.sh');
    await cp(RUNC_WRAPPER, path);
    settings.runtimes = { 'without-sys-resource': { path } };
    settings['default-runtime'] = 'without-sys-resource';
  }
  await writeFile(join(it.dir, 'daemon.json'), JSON.stringify(settings, null, 2));
}

/**
 * Stops the private daemon and takes back everything it changed on the machine, whatever state it is in; its images
 * stay in the cache. The caller holds the lock of {@link privateDockerLockName}.
 */
export async function stopPrivateDocker(): Promise<void> {
  const it = privateLayout();
  await endDaemons(it);
  await restoreFootprint(it.footprint);
  await rm(it.runDir, { recursive: true, force: true });
}

/** Kills the daemons at once, as a crash of the machine would, and leaves all else: for tests. */
export async function killPrivateDocker(): Promise<void> {
  const { pidFiles } = privateLayout();
  for (const pidFile of [pidFiles.docker, pidFiles.containerd]) await stopDaemon(pidFile, { signal: 'SIGKILL' });
}

async function endDaemons(it: PrivateLayout): Promise<void> {
  for (const pidFile of [it.pidFiles.docker, it.pidFiles.containerd]) {
    await stopDaemon(pidFile, { timeoutMs: STOP_TIMEOUT_MS });
  }
  await clearLeftovers(it.owned);
  // A socket that nobody listens on keeps containerd and dockerd from starting, as does Docker's own pid file.
  await rm(it.runDir, { recursive: true, force: true });
}

async function removeData(it: PrivateLayout): Promise<void> {
  for (const name of ['data', 'containerd']) await rm(join(it.dir, name), { recursive: true, force: true });
  await mkdir(it.runDir, { recursive: true, mode: 0o700 });
}

/**
 * What of a private daemon is on the machine right now, for a person: processes, mounts, links, firewall rules. Empty
 * after {@link stopPrivateDocker}, unless the machine has a Docker of its own.
 */
export async function privateDockerTraces(): Promise<string[]> {
  const { owned } = privateLayout();
  const processes = (await ownedProcesses(owned)).map((pid) => `process ${pid}`);
  const mounts = (await mountsBelow(owned.folders)).map((path) => `mount ${path}`);
  return [...processes, ...mounts, ...(await networkTraces())];
}
