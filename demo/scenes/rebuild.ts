import { type JobRef, jobName } from '../../src/job/ids.ts';
import type { JobStatus } from '../../src/job/status.ts';
import { step } from '../../test/cluster/progress.ts';
import { cellHashes } from '../../test/support/cell-hash.ts';
import { attempt, type Finding, finding, seconds } from '../report.ts';
import { isRunning, newCluster, type Stage, statusOf, untilStatus } from '../stage.ts';

const REBUILD_LIMIT_MS = 120_000;

/** Scene 4: the cluster is deleted under the running operator; a new, empty one takes its place. */
export async function rebuild(stage: Stage, jobs: readonly JobRef[]): Promise<Finding[]> {
  const ids = jobs.map((job) => job.id);
  const before = await cellHashes(stage.cluster, stage.store.storeId);
  const former = ids[0] && (await statusOf(stage, ids[0]))?.clusterId;

  await stage.cluster.down();
  stage.cluster = await newCluster();
  const rebuilt = await attempt('the cluster is lost; a new, empty one is filled from Postgres', async () => {
    const inNewCluster = (status: JobStatus) => isRunning(status) && status.clusterId !== former;
    const tookMs = await step('The operator rebuilds everything from Postgres', () =>
      untilStatus(stage, ids, 'all jobs run in the new cluster', REBUILD_LIMIT_MS, inNewCluster),
    );
    return `all jobs run ${seconds(tookMs)} after it was there`;
  });

  const after = await cellHashes(stage.cluster, stage.store.storeId);
  return [
    rebuilt,
    ...jobs.map((job) => {
      const [was, is] = [before.get(jobName(job)), after.get(jobName(job))];
      const same = was !== undefined && was === is;
      return finding(
        `${jobName(job)}: every object is as it was`,
        same,
        `${was?.slice(0, 12)} before, ${is?.slice(0, 12)} after`,
      );
    }),
  ];
}
