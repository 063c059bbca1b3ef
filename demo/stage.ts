import { mkdir, readFile, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { databaseUrl } from '../src/cli/database.ts';
import type { JobId } from '../src/job/ids.ts';
import type { JobStatus } from '../src/job/status.ts';
import { stopEmbedded } from '../src/store/embedded.ts';
import { openStore, type Store } from '../src/store/open.ts';
import { workerImage } from '../test/cluster/images/index.ts';
import { down, type KindCluster, up } from '../test/cluster/index.ts';
import { alive, startDaemon, stopDaemon } from '../test/cluster/processes.ts';
import { note, run, step } from '../test/cluster/progress.ts';
import { until } from '../test/support/until.ts';

/** Where the demo plays: a real cluster, a real Postgres, and the operator as a process of its own. */

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MAIN = join(ROOT, 'src/cli/main.ts');
const CLUSTER_NAME = 'demo';

/** The demo's own data, so that it never meets a store that somebody works with. */
export const DATA_DIR = join(ROOT, '.bulkhead/demo');
const OPERATOR = { pidFile: join(DATA_DIR, 'operator.pid'), logFile: join(DATA_DIR, 'operator.log') };

export interface Stage {
  cluster: KindCluster;
  readonly store: Store;
  /** What commands run with. */
  readonly env: Readonly<Record<string, string>>;
}

/** Makes everything from nothing: what an earlier demo left is removed first. */
export async function setUp(): Promise<Stage> {
  await removeData();
  await mkdir(DATA_DIR, { recursive: true });
  const url = await step('Starting a real Postgres', () => databaseUrl({ log: note }), { typical: '5 s' });
  const cluster = await newCluster();
  const env = { BULKHEAD_DATA_DIR: DATA_DIR, DATABASE_URL: url, KUBECONFIG: cluster.kubeconfigPath };
  const store = await openStore({ url, applicationName: 'bulkhead demo' });
  await step('Starting the operator', () => startOperator(env));
  return { cluster, store, env };
}

/** A kind cluster with the workers' image in it. */
export async function newCluster(): Promise<KindCluster> {
  const image = await workerImage();
  const cluster = await up('kind', { name: CLUSTER_NAME });
  await step('Loading the workers’ image into the cluster', () => cluster.loadImages([image.ref]));
  return cluster;
}

/** As a daemon that logs into a file, so that --keep can leave it running. */
async function startOperator(env: Record<string, string>): Promise<void> {
  await startDaemon({
    ...OPERATOR,
    command: process.execPath,
    args: [MAIN, 'run', '--health-address', 'none'],
    cwd: ROOT,
    env,
  });
  await until('the operator watches the cluster', 60_000, async () => {
    const said = await readFile(OPERATOR.logFile, 'utf8');
    if (!(await alive(OPERATOR.pidFile))) throw new Error(`the operator ended: ${said.trim()}`);
    return said.includes('watching the cluster');
  });
  note(`  its log: ${relative(process.cwd(), OPERATOR.logFile)}`);
}

async function removeData(): Promise<void> {
  await stopDaemon(OPERATOR.pidFile);
  await stopEmbedded();
  await rm(DATA_DIR, { recursive: true, force: true });
}

/** Ends all that {@link setUp} started, whoever called it, and removes its data. */
export async function tearDown(): Promise<void> {
  await stopDaemon(OPERATOR.pidFile);
  await down('kind', CLUSTER_NAME);
  await removeData();
}

/** Runs `bulkhead …` as a user does. @returns what it printed to stdout; throws when it fails */
export const bulkhead = (stage: Stage, ...args: string[]): Promise<string> =>
  run(process.execPath, [MAIN, ...args], { env: { ...stage.env }, cwd: ROOT });

export async function statusOf(stage: Stage, id: JobId): Promise<JobStatus | null> {
  const [stored] = await stage.store.statuses([id]);
  return stored?.status ?? null;
}

/** Waits until the newest revision of each job is as `check` wants it. @returns after how many milliseconds it was */
export async function untilStatus(
  stage: Stage,
  ids: readonly JobId[],
  what: string,
  timeoutMs: number,
  check: (status: JobStatus) => boolean,
): Promise<number> {
  const { elapsedMs } = await until(what, timeoutMs, async () => {
    const goals = new Map((await stage.store.goals(ids)).map((goal) => [goal.job.id, goal.revision]));
    const statuses = (await stage.store.statuses(ids)).map(({ status }) => status);
    return (
      statuses.length === ids.length &&
      statuses.every((status) => status.observedRevision === goals.get(status.jobId) && check(status))
    );
  });
  return elapsedMs;
}

export const isRunning = (status: JobStatus): boolean => status.phase === 'Running';
