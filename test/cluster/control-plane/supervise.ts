import { readFile, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { alive, commandLine, logTail, startDaemon, stopDaemon } from '../processes.ts';
import { note, run } from '../progress.ts';
import { argsOf } from './components.ts';
import { COMPONENTS, type Component, type Layout } from './layout.ts';
import { releaseNodes } from './nodes.ts';
import { freePort, type Settings } from './settings.ts';

const POLL_MS = 50;
const PROBE_TIMEOUT_MS = 2_000;
/** A cold API server takes 4 s; a machine that builds something beside it several times that. */
const READY_TIMEOUT_MS = 120_000;
/** How long an API server that was found running may take to answer before it is taken to hang. */
const REUSE_TIMEOUT_MS = 10_000;

/** The components that do not run as they should: not at all, or from an older binary or with other settings. */
export async function missingComponents(layout: Layout, settings: Settings, binary: string): Promise<Component[]> {
  const checks = await Promise.all(COMPONENTS.map((component) => runsAsWanted(layout, settings, binary, component)));
  return COMPONENTS.filter((_, i) => !checks[i]);
}

async function runsAsWanted(
  layout: Layout,
  settings: Settings,
  binary: string,
  component: Component,
): Promise<boolean> {
  const pid = await alive(layout.pidFile(component));
  const actual = pid === undefined ? undefined : await commandLine(pid);
  const wanted = [binary, ...argsOf(component, layout, settings)];
  return actual !== undefined && actual.join('\0') === wanted.join('\0');
}

/** Starts a component; one that runs is replaced. It is not awaited, except the pid file: see {@link waitReady}. */
export async function start(layout: Layout, settings: Settings, binary: string, component: Component): Promise<void> {
  const pidFile = layout.pidFile(component);
  await stopDaemon(pidFile);
  if (component === 'kwok') {
    await writeFile(layout.stages, await run(binary, ['kwok-stages']));
    if (await isReady(layout, settings)) await releaseNodes(layout);
  }
  const args = argsOf(component, layout, settings);
  await startDaemon({ pidFile, logFile: layout.logFile(component), command: binary, args, cwd: layout.dir });
}

/** Starts whatever is missing and replaces etcd and the API server if they run but do not answer. */
export async function startMissing(layout: Layout, settings: Settings, binary: string): Promise<void> {
  const missing = new Set(await missingComponents(layout, settings, binary));
  const reused = !missing.has('etcd') && !missing.has('kube-apiserver');
  if (reused && !(await becomesReady(layout, settings, REUSE_TIMEOUT_MS))) {
    note('The API server runs but does not answer; starting it and etcd again.');
    await stopDaemon(layout.pidFile('kube-apiserver'), { signal: 'SIGKILL' });
    await stopDaemon(layout.pidFile('etcd'), { signal: 'SIGKILL' });
    missing.add('etcd').add('kube-apiserver');
  }
  for (const component of COMPONENTS) {
    if (missing.has(component)) await start(layout, settings, binary, component);
    if (component === 'kube-apiserver') await waitReady(layout, settings);
  }
}

/** The recorded port, unless something else has taken it since and our API server has to start again. */
export async function usablePort(layout: Layout, recorded: number | undefined): Promise<number> {
  const running = await alive(layout.pidFile('kube-apiserver'));
  return recorded !== undefined && running !== undefined ? recorded : await freePort(recorded);
}

/** Waits until the API server answers; an end of it or of etcd, or too long a wait, is an error with its last words. */
export async function waitReady(layout: Layout, settings: Settings): Promise<void> {
  if (await becomesReady(layout, settings, READY_TIMEOUT_MS)) return;
  const dead: Component[] = [];
  for (const component of ['etcd', 'kube-apiserver'] as const) {
    if ((await alive(layout.pidFile(component))) === undefined) dead.push(component);
  }
  const culprit = dead[0] ?? 'kube-apiserver';
  const what = dead.length > 0 ? `${culprit} ended` : `${culprit} does not become ready`;
  const log = layout.logFile(culprit);
  throw new Error(`${what}. The end of ${log}:\n${await logTail(log)}`);
}

/** Gives up early when a process has ended. */
async function becomesReady(layout: Layout, settings: Settings, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    if (await isReady(layout, settings)) return true;
    if ((await alive(layout.pidFile('etcd'))) === undefined) return false;
    if ((await alive(layout.pidFile('kube-apiserver'))) === undefined) return false;
    await sleep(POLL_MS);
  }
  return false;
}

/** Whether the API server says that it is ready. */
export async function isReady(layout: Layout, { port }: Settings): Promise<boolean> {
  const ca = await readFile(join(layout.pki, 'ca.crt'));
  return await new Promise((resolve) => {
    const options = { host: '127.0.0.1', port, path: '/readyz', ca, agent: false, timeout: PROBE_TIMEOUT_MS };
    const request = get(options, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy(new Error('timeout')));
    // Not listening yet, or hanging: the same as "not ready".
    request.on('error', () => resolve(false));
  });
}
