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

const whatNext = (stage: Stage): string => {
  const kubeconfig = relative(process.cwd(), stage.cluster.kubeconfigPath);
  return [
    '\nLeft running, with its operator. To go on:',
    `  export BULKHEAD_DATA_DIR=${relative(process.cwd(), DATA_DIR)} KUBECONFIG=${kubeconfig}`,
    '  npm run -s bulkhead -- describe ads/clicks-by-country',
    `To end it: kill ${stage.operator.pid}; npm run cluster -- down kind --name demo; npm run -s bulkhead -- database stop`,
  ].join('\n');
};

async function main(keep: boolean): Promise<boolean> {
  const startedAt = performance.now();
  scene('0. A cluster, a database, an operator');
  const stage = await setUp();
  process.once('SIGINT', () => {
    note('\nInterrupted: removing what was started.');
    void tearDown(stage).finally(() => process.exit(130));
  });
  let kept = false;
  try {
    const findings = await play(stage);
    const held = findings.every((f) => f.held);
    process.stdout.write(`\n${table(findings)}\n\n`);
    const failed = findings.filter((f) => !f.held).length;
    process.stdout.write(
      `${findings.length - failed} held, ${failed} did not, in ${duration(performance.now() - startedAt)}.\n`,
    );
    kept = keep;
    return held;
  } finally {
    if (kept) note(whatNext(stage));
    else await tearDown(stage);
  }
}

process.env.BULKHEAD_DATA_DIR = DATA_DIR;
const program = new Command('demo')
  .description('Shows Bulkhead at work, from nothing: three jobs, one poisoned, repairs, and a lost cluster.')
  .option('--keep', 'leave cluster, database and operator running at the end')
  .option('--debug', 'show stack traces')
  .parse();
const { keep, debug } = program.opts<{ keep?: boolean; debug?: boolean }>();
try {
  process.exit((await main(keep === true)) ? 0 : 1);
} catch (error) {
  process.stderr.write(
    `The demo could not go on: ${error instanceof Error && !debug ? error.message : String(error)}\n`,
  );
  if (debug) console.error(error);
  process.exit(1);
}
