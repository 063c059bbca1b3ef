import assert from 'node:assert/strict';
import { attempt, type Finding } from '../../demo/report.ts';
import { down } from '../../test/cluster/index.ts';
import { until } from '../../test/support/until.ts';
import { emptyCluster, goalsOf, keepAuditLog, type Stage, SYSTEM } from '../stage.ts';
import { allBack, install, workersOf } from './install.ts';

const REMAINING = ['ads/clicks-by-country', 'shop/orders-by-region'];

/** Runs what loses something, and makes sure that everything is back and no goal changed. */
async function lose(what: string, stage: Stage, work: () => Promise<string>, workersRunOn: boolean): Promise<Finding> {
  return attempt(what, async () => {
    const [goals, workers] = [await goalsOf(stage), await workersOf(stage)];
    const seen = await work();
    const back = await allBack(stage, REMAINING);
    assert.equal(await goalsOf(stage), goals, 'no goal changed');
    if (workersRunOn) assert.equal(await workersOf(stage), workers, 'no worker was restarted or replaced');
    return [seen, back, ...(workersRunOn ? ['no worker restarted'] : []), 'no goal changed'].filter(Boolean).join('; ');
  });
}

export async function lossScenes(stage: Stage, withCluster: boolean): Promise<Finding[]> {
  const findings = [
    await lose(
      'the CRD is deleted, and installed again',
      stage,
      async () => {
        await stage.kubectl('delete', 'crd', 'streamjobs.bulkhead.dev', '--timeout=60s');
        await stage.kubectl('apply', '--server-side', '-f', 'install.yaml');
        return '';
      },
      true,
    ),
    await lose(
      'a tenant’s namespace is deleted',
      stage,
      async () => {
        await stage.kubectl('delete', 'namespace', 'shop', '--timeout=120s');
        return '';
      },
      true,
    ),
    await lose(
      'the operator’s namespace is deleted, and installed again',
      stage,
      async () => {
        await stage.kubectl('delete', 'namespace', SYSTEM, '--timeout=120s');
        return install(stage);
      },
      true,
    ),
  ];
  if (!withCluster) return findings;
  const cluster = await lose(
    'the kind cluster is deleted, another is made, and Bulkhead installed there',
    stage,
    async () => {
      await keepAuditLog(stage);
      await down('kind', stage.cluster.name);
      Object.assign(stage, await emptyCluster());
      return install(stage);
    },
    false,
  );
  return [...findings, cluster];
}

/** Nothing is wanted, so nothing is written, and whoever watches sees nothing. */
export async function idleScene(stage: Stage, durationMs: number): Promise<Finding> {
  return attempt(`idle for ${durationMs / 1000} s: no write, and kubectl get sj -w shows nothing`, async () => {
    const versions = () =>
      stage.kubectl('get', 'sj', '-A', '-o', 'jsonpath={range .items[*]}{.metadata.resourceVersion} {end}');
    await until('it is calm', 60_000, async () => {
      const before = await versions();
      await new Promise((resolve) => setTimeout(resolve, 10_000));
      return before === (await versions());
    });
    const { auditMark, writesSince } = await import('../../test/support/audit.ts');
    const mark = auditMark(stage.cluster.auditLogPath);
    const watched = stage
      .kubectl('get', 'sj', '-A', '--watch-only', `--request-timeout=${Math.round(durationMs / 1000)}s`)
      .catch((error: unknown) => (error instanceof Error && 'stdout' in error ? String(error.stdout) : ''));
    await new Promise((resolve) => setTimeout(resolve, durationMs));
    assert.equal((await watched).trim(), '');
    assert.deepEqual(await writesSince(stage.cluster.auditLogPath, mark), []);
    return '0 writes in the audit log, 0 lines from the watch';
  });
}

/** A newer operator on a running system: the Deployment is rolled out, and no worker with it. */
export async function upgradeScene(stage: Stage): Promise<Finding> {
  return attempt('a newer operator restarts no worker', async () => {
    const workers = await workersOf(stage);
    await stage.kubectl('-n', SYSTEM, 'rollout', 'restart', 'deployment/bulkhead-operator');
    await stage.kubectl('-n', SYSTEM, 'rollout', 'status', 'deployment/bulkhead-operator', '--timeout=180s');
    await allBack(stage, REMAINING);
    assert.equal(await workersOf(stage), workers);
    return 'the same workers, 0 restarts more';
  });
}
