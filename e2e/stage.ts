import { mkdir, rm } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Goal } from '../src/job/goal.ts';
import { jobName } from '../src/job/ids.ts';
import { findFreePort } from '../src/store/embedded/port.ts';
import { ensureEmbedded, stopEmbedded } from '../src/store/embedded.ts';
import { migrate } from '../src/store/migrate.ts';
import { openStore, type Store } from '../src/store/open.ts';
import { operatorImage, postgresImage, workerImage } from '../test/cluster/images/index.ts';
import { nameInCluster } from '../test/cluster/images/release.ts';
import { openVolumes } from '../test/cluster/images/volumes.ts';
import { down, type KindCluster } from '../test/cluster/index.ts';
import { kindUp } from '../test/cluster/kind/index.ts';
import { run, step } from '../test/cluster/progress.ts';
import { type Command, kubectlOn } from '../test/support/end-to-end.ts';

/** Where the end-to-end runs play: an empty kind cluster, the images in it, and the database on this machine. */

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const SYSTEM = 'bulkhead-system';
const CLUSTER_NAME = 'e2e';

export interface Stage {
  cluster: KindCluster;
  kubectl: Command;
  /** The goals, seen from outside of the cluster; null where the database is in it. */
  readonly store: Store | null;
  /** Where pods of the cluster find the database; null where it is among them. */
  readonly databaseUrl: string | null;
  /** Audit logs of clusters that are gone by now. */
  readonly auditLogs: string[];
  /** Own files of the run. */
  readonly folder: string;
}

/** With Docker Desktop the address is not this machine's: there, what listens on 127.0.0.1 is reached by it. */
const isOwn = (address: string): boolean =>
  Object.values(networkInterfaces()).some((list) => list?.some((it) => it.address === address));

/** What the install files and the examples name, built here. */
async function loadImages(cluster: KindCluster, withPostgres: boolean): Promise<void> {
  const images = [operatorImage, ...(withPostgres ? [postgresImage] : [])];
  if (withPostgres) await openVolumes(cluster);
  await cluster.loadImages([(await workerImage()).ref]);
  for (const image of images) {
    const { ref, release } = await image();
    await step(`Loading ${release} into the cluster`, async () => {
      await cluster.loadImages([ref]);
      await nameInCluster(cluster, ref, release);
    });
  }
}

/** A kind cluster with nothing in it but the images: not even the policies, which the install brings. */
export async function emptyCluster(withPostgres = false): Promise<Pick<Stage, 'cluster' | 'kubectl'>> {
  const cluster = await kindUp({ name: CLUSTER_NAME });
  await loadImages(cluster, withPostgres);
  return { cluster, kubectl: await kubectlOn(cluster) };
}

/** @param withStore whether the database is on this machine */
export async function setUp(folder: string, withStore: boolean): Promise<Stage> {
  await down('kind', CLUSTER_NAME);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const made = await emptyCluster(!withStore);
  const common = { ...made, auditLogs: [], folder };
  if (!withStore) return { ...common, store: null, databaseUrl: null };
  const { hostAddress } = made.cluster;
  const options = { folder: join(folder, 'postgres'), port: await findFreePort() };
  const listen = isOwn(hostAddress) ? [hostAddress] : [];
  const { url, adminUrl, appRole } = await ensureEmbedded({ ...options, listen });
  await migrate(adminUrl, { appRole });
  const inCluster = new URL(url);
  inCluster.hostname = hostAddress;
  // The embedded server has no certificate.
  inCluster.searchParams.set('sslmode', 'disable');
  const store = await openStore({ url, applicationName: 'bulkhead e2e' });
  return { ...common, store, databaseUrl: inCluster.href };
}

export async function tearDown(stage: Stage): Promise<void> {
  await stage.store?.close();
  await down('kind', CLUSTER_NAME);
  await stopEmbedded({ folder: join(stage.folder, 'postgres') });
}

/** The audit log of the cluster as it is now, kept beyond its end. */
export async function keepAuditLog(stage: Stage): Promise<void> {
  const kept = join(stage.folder, `audit-${stage.auditLogs.length + 1}.log`);
  await run('cp', [stage.cluster.auditLogPath, kept]);
  stage.auditLogs.push(kept);
}

/** What a goal is, as far as nobody may have changed it: every job with its newest revision and who wrote it. */
export async function goalsOf(stage: Stage): Promise<string> {
  if (!stage.store) throw new Error('the database is in the cluster');
  const line = ({ job, revision, layers }: Goal): string =>
    `${jobName(job)} ${job.id} ${revision} ${layers.job.contentHash}`;
  return (await stage.store.list()).map(line).join('\n');
}
