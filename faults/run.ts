import { duration, step } from '../test/cluster/progress.ts';
import type { Outcome, Run, Scenario } from './scenario.ts';

/** Most of their time they wait for something. */
export const SAMPLED_AT_ONCE = 3;

/** A scenario, and what came of it. */
export interface Result extends Outcome {
  readonly row: string;
  readonly name: string;
  readonly elapsedMs: number;
}

/** Runs one scenario. What it throws is a failure with that as its figure. */
export async function runScenario(scenario: Scenario, run: Run): Promise<Result> {
  const startedAt = performance.now();
  const outcome = await step(`row ${scenario.row}, ${scenario.name}: ${scenario.what}`, () => attempt(scenario, run));
  return { row: scenario.row, name: scenario.name, ...outcome, elapsedMs: Math.round(performance.now() - startedAt) };
}

async function attempt(scenario: Scenario, run: Run): Promise<Outcome> {
  try {
    return await scenario.run(run);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const stack = error instanceof Error ? error.stack : undefined;
    return { figure: message.split('\n')[0] ?? message, limit: '', passed: false, detail: { error: message, stack } };
  }
}

/** One line for a result; what did not hold comes below it. */
export function resultLines({ row, name, figure, limit, passed, detail, elapsedMs }: Result): string {
  const line = `${row.padStart(5)}  ${name.padEnd(19)} ${passed ? 'pass' : 'FAIL'}  ${figure}${limit && ` (limit: ${limit})`}  [${duration(elapsedMs)}]`;
  const broken = Array.isArray(detail.broken) ? detail.broken.map((what) => `${' '.repeat(33)}not held: ${what}`) : [];
  return [line, ...broken].join('\n');
}

/** Runs scenarios, some at once where they do not mind. @returns the results in the order of the scenarios */
export async function runScenarios(scenarios: readonly Scenario[], run: Run, atOnce: number): Promise<Result[]> {
  const results = new Map<Scenario, Result>();
  const left = scenarios.filter(({ alone }) => !alone);
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next; next = left.shift()) results.set(next, await runScenario(next, run));
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  for (const one of scenarios) if (one.alone) results.set(one, await runScenario(one, run));
  return scenarios.flatMap((scenario) => results.get(scenario) ?? []);
}
