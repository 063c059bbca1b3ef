import { workerImage } from '../test/cluster/images/index.ts';
import { up } from '../test/cluster/index.ts';
import { note, step } from '../test/cluster/progress.ts';
import { applyJob, startOperator, untilPhase } from '../test/support/operator.ts';
import { testDatabase } from '../test/support/postgres.ts';
import { listenForSilence } from '../test/support/silence.ts';
import type { BenchResult } from './result.ts';

const JOBS = ['one', 'two', 'three'];
const READY_LIMIT_MS = 120_000;

export interface SilenceOptions {
  readonly seconds: number;
  readonly cluster: 'kind' | 'control-plane';
}

/** What a converged system of three jobs writes while nobody wants anything. Target: nothing. */
export async function silence(options: SilenceOptions): Promise<BenchResult> {
  const cluster = options.cluster === 'kind' ? await up('kind') : await up('control-plane', { name: 'silence' });
  const image = await workerImage();
  if (cluster.kind === 'kind') await cluster.loadImages([image.ref]);
  try {
    await using database = await testDatabase();
    await using _operator = startOperator(database.store, {
      kubeconfig: cluster.kubeconfigPath,
      context: cluster.context,
    });
    const spec = {
      container: { image: image.ref, ports: [{ name: 'metrics', port: 8080 }] },
      workers: { replicas: 2 },
    };
    const ids = await Promise.all(JOBS.map((name) => applyJob(database.store, name, spec)));
    await step(`Waiting until ${JOBS.length} jobs run on ${cluster.kind}`, async () => {
      for (const id of ids) await untilPhase(database.store, id, 'Running', READY_LIMIT_MS);
    });
    const seen = await step(`Listening for ${options.seconds} s`, () =>
      listenForSilence(cluster, database.superuserUrl, options.seconds * 1000),
    );
    for (const write of seen.clusterWrites) note(`  ${write.verb} ${write.uri}`);
    const rows = Object.values(seen.rowsWritten).reduce((a, b) => a + b, 0);
    process.stdout.write(
      `writes to the API server   ${seen.clusterWrites.length}\n` +
        `other requests to it       ${seen.clusterRequests - seen.clusterWrites.length} (watches opened again)\n` +
        `rows written in Postgres   ${rows} ${rows > 0 ? JSON.stringify(seen.rowsWritten) : ''}\n` +
        `lease renewals             ${seen.leaseRenewals}\n`,
    );
    const value = seen.clusterWrites.length + rows;
    return {
      bench: 'silence',
      jobs: JOBS.length,
      value,
      unit: 'writes',
      target: 0,
      met: value === 0,
      seconds: options.seconds,
      on: cluster.kind,
    };
  } finally {
    await cluster.down();
  }
}
