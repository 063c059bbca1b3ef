import { relative } from 'node:path';
import { Command } from 'commander';
import { duration, note } from '../test/cluster/progress.ts';
import { connect } from '../test/support/operator.ts';
import { Cells } from './cells.ts';
import { type Finding, table } from './report.ts';
import { poison } from './scenes/poison.ts';
import { ready } from './scenes/ready.ts';
import { rebuild } from './scenes/rebuild.ts';
import { repair } from './scenes/repair.ts';
import { DATA_DIR, type Stage, setUp, tearDown } from './stage.ts';

/** `npm run demo`: everything from nothing, on a real Kubernetes with real pods; exit 0 only if all of it held. */

const scene = (title: string): void => note(`\n── ${title}`);

async function play(stage: Stage): Promise<Finding[]> {
  const api = await connect(stage.cluster);
  const cells = new Cells(api, stage.store.storeId);
  try {
    scene('1. Three jobs, three cells');
    const { jobs, findings } = await ready(stage, cells);
    scene('2. One job is poisoned');
    findings.push(...(await poison(stage, cells, jobs)));
    scene('3. Things break');
    for (const job of jobs.slice(-1)) findings.push(...(await repair(stage, cells, job)));
    scene('4. The cluster is lost');
    findings.push(...(await rebuild(stage, jobs)));
    return findings;
  } finally {
    await api.close();
  }
}

function whatNext(stage: Stage): string {
  const here = (path: string) => relative(process.cwd(), path);
  return [
    '\nLeft running, with its operator. To go on:',
    `  export BULKHEAD_DATA_DIR=${here(DATA_DIR)} KUBECONFIG=${here(stage.cluster.kubeconfigPath)}`,
    '  npm run -s bulkhead -- describe ads/clicks-by-country',
    'To end it: npm run demo -- --end',
  ].join('\n');
}

/** @returns whether all of it held */
async function main(keep: boolean): Promise<boolean> {
  const startedAt = performance.now();
  process.once('SIGINT', () => {
    note('\nInterrupted: removing what was started.');
    void tearDown().finally(() => process.exit(130));
  });
  let kept = false;
  try {
    scene('0. A cluster, a database, an operator');
    const stage = await setUp();
    const findings = await play(stage);
    const failed = findings.filter((f) => !f.held).length;
    process.stdout.write(`\n${table(findings)}\n\n`);
    process.stdout.write(
      `${findings.length - failed} held, ${failed} did not, in ${duration(performance.now() - startedAt)}.\n`,
    );
    await stage.store.close();
    kept = keep;
    if (kept) note(whatNext(stage));
    return failed === 0;
  } finally {
    if (!kept) await tearDown();
  }
}

process.env.BULKHEAD_DATA_DIR = DATA_DIR;
const program = new Command('demo')
  .description('Shows Bulkhead at work, from nothing: three jobs, one poisoned, repairs, and a lost cluster.')
  .option('--keep', 'leave cluster, database and operator running at the end')
  .option('--end', 'end what --keep has left running')
  .option('--debug', 'show stack traces')
  .parse();
const options = program.opts<{ keep?: boolean; end?: boolean; debug?: boolean }>();
try {
  if (options.end) await tearDown();
  process.exit(options.end || (await main(options.keep === true)) ? 0 : 1);
} catch (error) {
  process.stderr.write(`The demo could not go on: ${error instanceof Error ? error.message : String(error)}\n`);
  if (options.debug) console.error(error);
  process.exit(1);
}
