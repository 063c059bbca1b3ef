import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Lab } from './lab.ts';

/** What processes have used, from /proc (Linux). */

const TICKS_A_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).trim());

/** Fields of /proc/PID/stat from the third on (see proc(5)); undefined when the process has ended. */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name, field 2, may hold spaces and brackets.
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return undefined;
    throw error;
  }
}

const field = (stat: readonly string[] | undefined, number: number): number => Number(stat?.[number - 3] ?? Number.NaN);

export function parentOf(pid: number): number | undefined {
  const parent = field(statOf(pid), 4);
  return Number.isNaN(parent) ? undefined : parent;
}

/** User and system time of all its threads; NaN when it has ended. */
export function cpuSeconds(pid: number): number {
  const stat = statOf(pid);
  return (field(stat, 14) + field(stat, 15)) / TICKS_A_SECOND;
}

/** That of a process, of its children that run, and of those that it has waited for: for Postgres. */
export function treeCpuSeconds(pid: number): number {
  const stat = statOf(pid);
  const ended = (field(stat, 16) + field(stat, 17)) / TICKS_A_SECOND;
  const running = childrenOf(pid).map((child) => cpuSeconds(child));
  return cpuSeconds(pid) + ended + running.filter((seconds) => !Number.isNaN(seconds)).reduce((a, b) => a + b, 0);
}

function childrenOf(pid: number): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((one) => parentOf(one) === pid);
}

/** What it holds in memory now; NaN when it has ended. */
export function rssBytes(pid: number): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/^Rss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? Number.NaN) * 1024;
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return Number.NaN;
    throw error;
  }
}

/** CPU seconds by what they were used for: `api`, `etcd`, and whatever else was asked for. */
export type CpuUse = Readonly<Record<string, number>>;

/** Counts from now on what the API server, etcd and others use. */
export class CpuMeter {
  readonly #meters: Readonly<Record<string, () => number>>;
  readonly #before: CpuUse;

  private constructor(meters: Readonly<Record<string, () => number>>) {
    this.#meters = meters;
    this.#before = this.#read();
  }

  /** @param others name → what reads its CPU seconds, as `() => cpuSeconds(pid)` */
  static async start(lab: Lab, others: Readonly<Record<string, () => number>> = {}): Promise<CpuMeter> {
    const meters: Record<string, () => number> = {};
    for (const [name, component] of [
      ['api', 'kube-apiserver'],
      ['etcd', 'etcd'],
    ] as const) {
      const pid = await lab.cluster.pid(component);
      if (pid === undefined) throw new Error(`${component} does not run`);
      meters[name] = () => cpuSeconds(pid);
    }
    return new CpuMeter({ ...meters, ...others });
  }

  #read(): CpuUse {
    return Object.fromEntries(Object.entries(this.#meters).map(([name, read]) => [name, read()]));
  }

  /** Seconds since the start of the meter. Read it before a process ends: afterwards its use is NaN. */
  used(): CpuUse {
    return Object.fromEntries(
      Object.entries(this.#read()).map(([name, now]) => [name, now - (this.#before[name] ?? 0)]),
    );
  }
}
