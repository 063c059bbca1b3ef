import { existsSync } from 'node:fs';
import { readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../progress.ts';
import { SYSTEM_PATH } from './packages.ts';

const CGROUPS = '/sys/fs/cgroup';
const KILL_TIMEOUT_MS = 15_000;
const POLL_MS = 50;

/** How to tell what belongs to a private daemon, whoever was killed before. */
export interface Owned {
  /** `NAME=value`, in the environment of the daemons and whatever they start on the machine: shims, proxies. */
  marker: string;
  /** The cgroup, below the root, that every container is in. */
  cgroup: string;
  /** Everything mounted below these folders. */
  folders: readonly string[];
}

/** Ends every process of the daemon and its containers and removes their mounts and cgroups. */
export async function clearLeftovers(owned: Owned): Promise<void> {
  await killAll(owned);
  for (const path of await mountsBelow(owned.folders)) {
    await run('umount', ['--lazy', path], { env: { PATH: SYSTEM_PATH } });
  }
  for (const folder of await cgroupFolders(owned.cgroup)) await removeCgroup(folder);
}

async function killAll(owned: Owned): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  let pids = await ownedProcesses(owned);
  while (pids.length > 0) {
    if (performance.now() > deadline) throw new Error(`Processes ${pids.join(', ')} do not end even on SIGKILL.`);
    for (const pid of pids) kill(pid);
    await sleep(POLL_MS);
    pids = await ownedProcesses(owned);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: it has ended meanwhile.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** The processes of the daemon and of its containers. */
export async function ownedProcesses({ marker, cgroup }: Owned): Promise<number[]> {
  const pids: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const environment = `\0${await readProc(name, 'environ')}`;
    const inCgroup = (await readProc(name, 'cgroup')).includes(`:/${cgroup}/`);
    if (!inCgroup && !environment.includes(`\0${marker}\0`)) continue;
    // A zombie is gone but for its parent's attention.
    if (!/^State:\s+[ZX]/m.test(await readProc(name, 'status'))) pids.push(Number(name));
  }
  return pids;
}

/** A Docker daemon on this machine, whoever's, with the value of the variable in its environment. */
export async function findDockerd(variable: string): Promise<{ pid: number; value: string | undefined } | undefined> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || (await readProc(name, 'comm')).trim() !== 'dockerd') continue;
    if (/^State:\s+[ZX]/m.test(await readProc(name, 'status'))) continue;
    const setting = (await readProc(name, 'environ')).split('\0').find((it) => it.startsWith(`${variable}=`));
    return { pid: Number(name), value: setting?.slice(variable.length + 1) };
  }
  return undefined;
}

async function readProc(pid: string, file: string): Promise<string> {
  try {
    return await readFile(join('/proc', pid, file), 'latin1');
  } catch {
    // The process has ended, or is not ours to look at.
    return '';
  }
}

/** Mount points at or below the folders, innermost first. */
export async function mountsBelow(folders: readonly string[]): Promise<string[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).trim().split('\n');
  const points = lines.map((line) => unescapeOctal(line.split(' ')[4] ?? ''));
  return points
    .filter((point) => folders.some((folder) => point === folder || point.startsWith(`${folder}/`)))
    .sort((a, b) => b.length - a.length);
}

/** mountinfo writes a space as \040 and the like. */
function unescapeOctal(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Version 2 has one tree, version 1 one for each controller. */
async function cgroupFolders(cgroup: string): Promise<string[]> {
  if (!existsSync(CGROUPS)) return [];
  const names = ['', ...(await readdir(CGROUPS))];
  return names.map((name) => join(CGROUPS, name, cgroup)).filter((path) => existsSync(path));
}

async function removeCgroup(folder: string): Promise<void> {
  const children = (await readdir(folder, { withFileTypes: true })).filter((child) => child.isDirectory());
  for (const child of children) await removeCgroup(join(folder, child.name));
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  while (existsSync(folder)) {
    try {
      await rmdir(folder);
    } catch (error) {
      // The kernel takes a moment to let go of processes that have just ended.
      const busy = error instanceof Error && 'code' in error && error.code === 'EBUSY';
      if (!busy || performance.now() > deadline) throw error;
      await sleep(POLL_MS);
    }
  }
}
