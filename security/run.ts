import { type Result, resultLines } from '../faults/run.ts';
import { step } from '../test/cluster/progress.ts';
import type { Options, Outcome, SecurityCheck } from './check.ts';

export { type Result, resultLines };

/** Runs one check. What it throws is a failure with that as its figure. */
export async function runCheck(check: SecurityCheck, options: Options): Promise<Result> {
  const startedAt = performance.now();
  const outcome = await step(`row ${check.row}, ${check.name}: ${check.what}`, () => attempt(check, options));
  return { row: check.row, name: check.name, ...outcome, elapsedMs: Math.round(performance.now() - startedAt) };
}

async function attempt(check: SecurityCheck, options: Options): Promise<Outcome> {
  try {
    return await check.run(options);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const stack = error instanceof Error ? error.stack : undefined;
    return { figure: message, limit: '', passed: false, detail: { error: message, stack } };
  }
}
