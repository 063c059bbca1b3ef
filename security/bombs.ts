import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { noFindings, type Outcome, type SecurityCheck } from './check.ts';

/** The probe of the unit test: the same bombs, in a process of its own. */
const PROBE = fileURLToPath(new URL('../test/unit/job/bomb-probe.ts', import.meta.url));
const MAX_MS = 100;
const MAX_MB = 50;

const measuredSchema = z.array(
  z.strictObject({ name: z.string(), ms: z.number(), mb: z.number(), jobs: z.number(), said: z.string() }),
);
export type Measured = z.infer<typeof measuredSchema>[number];

/** What a bomb did that it must not; empty when it was refused cheaply. */
export function bombFindings({ name, ms, mb, jobs, said }: Measured): string[] {
  return [
    ...(jobs > 0 || said === '' ? [`${name} is taken`] : []),
    ...(ms > MAX_MS ? [`${name} takes ${ms.toFixed(0)} ms of processor time`] : []),
    ...(mb > MAX_MB ? [`${name} takes ${mb.toFixed(0)} MB`] : []),
  ];
}

async function run(): Promise<Outcome> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', PROBE]);
  const measured = measuredSchema.parse(JSON.parse(stdout));
  const worst = (of: 'ms' | 'mb'): string => Math.max(...measured.map((one) => one[of])).toFixed(0);
  return noFindings(measured.flatMap(bombFindings), {
    figure: `${measured.length} bombs, at most ${worst('ms')} ms and ${worst('mb')} MB`,
    limit: `${MAX_MS} ms, ${MAX_MB} MB`,
    detail: { measured },
  });
}

export const bombs: SecurityCheck = {
  row: '6',
  name: 'bombs',
  what: 'YAML bombs are refused before they take time or memory',
  run,
};
