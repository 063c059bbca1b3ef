import { Argument, Command } from 'commander';
import { type Finding, table } from '../demo/report.ts';
import { duration, note } from '../test/cluster/progress.ts';
import { devRun, operatorRun } from './operator.ts';

/** `npm run e2e -- operator`: the installed operator on kind, with real pods, from an empty cluster. */
const program = new Command('e2e')
  .description('Bulkhead as people install it, on kind with real pods, from an empty cluster')
  .addArgument(new Argument('<run>', 'what to run').choices(['operator', 'dev']))
  .option('--sampled', 'without the loss of the cluster and the five minutes of silence')
  .action(async (name: 'operator' | 'dev', { sampled }: { sampled?: true }) => {
    const startedAt = performance.now();
    const tell = (finding: Finding) => note(`${finding.held ? '✓' : '✗'} ${finding.what}: ${finding.seen}`);
    let findings: readonly Finding[];
    if (name === 'dev') findings = await devRun({ tell });
    else {
      const run = await operatorRun({ extent: sampled ? 'sampled' : 'full', tell });
      findings = run.findings;
      note(`audit logs: ${run.auditLogs.join(' ')}`);
    }
    console.log(`\n${table(findings)}\n`);
    const failed = findings.filter(({ held }) => !held).length;
    console.log(`${findings.length - failed} held, ${failed} did not, in ${duration(performance.now() - startedAt)}`);
    process.exitCode = failed === 0 ? 0 : 1;
  });

await program.parseAsync();
