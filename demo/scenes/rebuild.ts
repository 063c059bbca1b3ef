import { type JobRef, jobName } from '../../src/job/ids.ts';
import { step } from '../../test/cluster/progress.ts';
import { cellHashes } from '../../test/support/cell-hash.ts';
import { type Finding, finding } from '../report.ts';
import { isRunning, newCluster, type Stage, statusOf, untilStatus } from '../stage.ts';

const REBUILD_LIMIT_MS = 120_000;

/** Scene 4: the cluster is deleted under the running operator; a new, empty one takes its place. */
export async function rebuild(stage: Stage, jobs: readonly JobRef[]): Promise<Finding[]> {
  const ids = jobs.map((job) => job.id);
  const before = await cellHashes(stage.cluster, stage.store.storeId);
  const former = ids[0] && (await statusOf(stage, ids[0]))?.clusterId;

  await stage.cluster.down();
  stage.cluster = await newCluster();
  const tookMs = await step('The operator rebuilds everything from Postgres', () =>
    untilStatus(
      stage,
      ids,
      'all jobs run in the new cluster',
      REBUILD_LIMIT_MS,
      (s) => isRunning(s) && s.clusterId !== former,
    ),
  );

  const after = await cellHashes(stage.cluster, stage.store.storeId);
  return [
    finding(
      'the cluster is lost; a new, empty one is filled from Postgres',
      true,
      `all jobs run ${(tookMs / 1000).toFixed(1)} s after it was there`,
    ),
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
