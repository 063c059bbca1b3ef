import { count, noFindings, type Options, type Outcome, type SecurityCheck } from '../check.ts';
import { ALLOWED } from './allowed.ts';
import { hostileWrites } from './hostile.ts';
import { sourceFindings, storeSources } from './static.ts';

const EDITS = { quick: 100, full: 2_000 };
const SEED = 7;

async function run({ quick }: Options): Promise<Outcome> {
  const sources = storeSources();
  const edits = quick ? EDITS.quick : EDITS.full;
  const { stored, refused, findings: wrong } = await hostileWrites(edits, SEED);
  const findings = [...sourceFindings(sources), ...wrong];
  const built = sources.reduce((sum, { found }) => sum + found.length, 0);
  return noFindings(findings, {
    figure: `${sources.length} files, ${built} parts of SQL that are put in, each with its reason; hostile edits: ${count(stored)} stored, ${count(refused)} refused; ${findings.length} findings`,
    limit: 'parameters only; every edit stored as written, or refused',
    detail: { edits, seed: SEED, allowed: ALLOWED },
  });
}

export const sql: SecurityCheck = {
  row: '7',
  name: 'sql',
  what: 'no SQL is built from what people wrote, and hostile edits are stored letter by letter or refused',
  run,
};
