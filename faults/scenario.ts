import type { Stage } from './stage.ts';

/** `full` is what the rows of faults.md demand; `sampled` is small enough for every run of the tests. */
export type Size = 'sampled' | 'full';

/** What a scenario works with. */
export interface Run {
  readonly size: Size;
  readonly stage: Stage;
}

export interface Outcome {
  /** What was measured, in a few words. */
  readonly figure: string;
  /** What it was held against. */
  readonly limit: string;
  readonly passed: boolean;
  /** The numbers behind it, for programs. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/** One fault, made for real, and what must hold. */
export interface Scenario {
  /** Rows of faults.md. */
  readonly row: string;
  readonly name: string;
  /** A sentence. */
  readonly what: string;
  /** Its figure is a matter of moments, so that nothing else may run meanwhile. */
  readonly alone?: true;
  /** @throws Error when something that must come to be does not: a failure like any other */
  readonly run: (run: Run) => Promise<Outcome>;
}

/** Picks by size. */
export const sized = <T>(size: Size, sampled: T, full: T): T => (size === 'full' ? full : sampled);

/** One thing that must hold. */
export interface Check {
  readonly what: string;
  readonly held: boolean;
}

/** The outcome of several checks: it passes when all hold, and names those that do not. */
export function judge(
  checks: readonly Check[],
  { figure, limit, detail = {} }: Pick<Outcome, 'figure' | 'limit'> & { readonly detail?: Outcome['detail'] },
): Outcome {
  const broken = checks.filter(({ held }) => !held).map(({ what }) => what);
  return { figure, limit, passed: broken.length === 0, detail: { ...detail, ...(broken.length > 0 && { broken }) } };
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** The value that half of them are below; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length === 0) return Number.NaN;
  if (Number.isInteger(middle)) return ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
  return sorted[Math.floor(middle)] ?? Number.NaN;
}
