import {
  type AuditedRequest,
  type CpuUse,
  countWrites,
  type Figures,
  isCreation,
  isWrite,
  type Lab,
} from '../lab/index.ts';
import { quantile } from '../statistics.ts';

/** One contestant's turn on an empty cluster. */
export interface Turn {
  /** From the start of its process to the answer to its first write. */
  readonly startSeconds: number;
  /** From its first write to its last object. */
  readonly writingSeconds: number;
  /** Both. */
  readonly seconds: number;
  /** From the start of its process until all workers are ready; only where somebody plays them. */
  readonly readySeconds?: number;
  /** All that it sent, refused ones included. */
  readonly writes: number;
  readonly writesPerSecond: number;
  readonly jobsPerSecond: number;
  /** How long the API server had a creation, in the middle and at worst but one in a hundred. */
  readonly serverP50Ms: number;
  readonly serverP99Ms: number;
  /** How many of its requests were answered how. */
  readonly answers: Readonly<Record<string, number>>;
  /** Milliseconds of CPU a write, by process: `api`, `etcd`, `client`, `postgres`. */
  readonly cpuMsPerWrite: CpuUse;
  /** What the contestant says of itself. */
  readonly detail?: Readonly<Record<string, unknown>>;
}

export interface Measured {
  /** By the clock of the audit log; see wallClockMs. */
  readonly startedAtMs: number;
  /** All requests of the contestant's account. */
  readonly requests: readonly AuditedRequest[];
  readonly cpu: CpuUse;
  readonly readyAtMs?: number;
  readonly detail?: Readonly<Record<string, unknown>>;
}

export function turnOf(jobs: number, { startedAtMs, requests, cpu, readyAtMs, detail }: Measured): Turn {
  const writes = requests.filter(isWrite);
  const made = writes.filter(isCreation).sort((a, b) => a.answeredAtMs - b.answeredAtMs);
  const [first, last] = [made[0], made.at(-1)];
  if (!first || !last) throw new Error('nothing was made');
  const took = made.map(({ tookMs }) => tookMs);
  const writingSeconds = (last.answeredAtMs - first.answeredAtMs) / 1_000;
  return {
    startSeconds: (first.answeredAtMs - startedAtMs) / 1_000,
    writingSeconds,
    seconds: (last.answeredAtMs - startedAtMs) / 1_000,
    ...(readyAtMs !== undefined && { readySeconds: (readyAtMs - startedAtMs) / 1_000 }),
    writes: writes.length,
    writesPerSecond: made.length / writingSeconds,
    jobsPerSecond: jobs / writingSeconds,
    serverP50Ms: quantile(took, 0.5),
    serverP99Ms: quantile(took, 0.99),
    answers: countWrites(requests),
    cpuMsPerWrite: Object.fromEntries(
      Object.entries(cpu).map(([name, seconds]) => [name, (seconds * 1_000) / made.length]),
    ),
    ...(detail && { detail }),
  };
}

/** The figures of a turn that medians are taken of. */
export const figuresOf = ({ answers: _, detail: __, cpuMsPerWrite, readySeconds, ...numbers }: Turn): Figures => ({
  ...numbers,
  ...(readySeconds !== undefined && { readySeconds }),
  ...Object.fromEntries(Object.entries(cpuMsPerWrite).map(([name, ms]) => [`cpuMs ${name}`, ms])),
});

/** What a contestant is given: a lab that is empty, and how much to do. */
export interface Task {
  readonly lab: Lab;
  readonly jobs: number;
  readonly tier: 'namespace' | 'shared';
  /** Whether to wait until all workers are ready, too. */
  readonly ready: boolean;
}
