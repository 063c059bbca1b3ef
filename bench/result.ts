import { cpus, totalmem } from 'node:os';

/** What every benchmark says in the end, as one JSON object on the last line. */
export interface BenchResult {
  readonly bench: string;
  readonly jobs: number;
  readonly value: number;
  readonly unit: string;
  readonly target: number;
  readonly met: boolean;
  readonly [detail: string]: unknown;
}

/** What it was measured on. */
export const machine = (): Record<string, unknown> => ({
  cpus: cpus().length,
  cpuModel: cpus()[0]?.model ?? 'unknown',
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  node: process.version,
});
