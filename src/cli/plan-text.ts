import { printable } from '../job/problem.ts';
import type { NextStep } from '../job/status.ts';

/** The plan made from a look at the cluster just now, or why there is none. */
export type LivePlan =
  | { readonly kind: 'planned'; readonly contextName: string; readonly steps: readonly NextStep[] }
  | { readonly kind: 'unknown'; readonly why: string };

export const stepLines = (steps: readonly NextStep[]): string =>
  steps.map(({ action, why }) => `${printable(action)}: ${printable(why)}\n`).join('');
