import { type OperatorProcess, spawnBound } from '../../test/support/processes.ts';
import {
  AuditTail,
  type BenchPostgres,
  type Contestant,
  CpuMeter,
  cellRequests,
  cellSources,
  cpuSeconds,
  goalRequests,
  installCellKind,
  installFence,
  installTenants,
  loadJobs,
  type MarkedCell,
  newStoreId,
  OBJECTS_A_JOB,
  startBulkhead,
  treeCpuSeconds,
  userOf,
  wallClockMs,
} from '../lab/index.ts';
import { operatorBinary } from '../yardsticks/build.ts';
import { ReadyWatch } from './ready.ts';
import { requestFile, type Sender, sendAll, sendFile } from './replay.ts';
import { type Task, type Turn, turnOf } from './turn.ts';

/** Who rebuilds, each on an empty cluster and from the start of its process. */

const STALL_MS = 60_000;
const FILL_CONCURRENCY = 16;

const loadOf = ({ tier }: Task) => ({ tier });

/** Tier `shared` lies in its tenants' namespaces, which are there. */
async function prepare(task: Task): Promise<void> {
  if (task.tier === 'shared') await installTenants(task.lab, task.jobs, loadOf(task));
}

/** Bulkhead with N goals in its store, which has seen no cluster yet. */
export async function bulkheadTurn(task: Task, postgres: BenchPostgres): Promise<Turn> {
  const { lab, jobs, tier } = task;
  await prepare(task);
  await using database = await postgres.database();
  await loadJobs(database.store, jobs, loadOf(task));
  await using ready = await ReadyWatch.open(task);
  await using tail = await AuditTail.from(lab.cluster.auditLogPath);
  const startedAtMs = wallClockMs();
  await using operator = killed(startBulkhead(lab, database));
  const cpu = await CpuMeter.start(lab, {
    client: () => cpuSeconds(operator.process.pid),
    postgres: () => treeCpuSeconds(postgres.pid),
  });
  const user = userOf('bulkhead');
  const requests = await tail.untilCreated(user, jobs * OBJECTS_A_JOB[tier], {
    stallMs: STALL_MS,
    onProgress: () => operator.process.requireAlive(),
  });
  const used = cpu.used();
  const readyAtMs = await ready?.all();
  return turnOf(jobs, { startedAtMs, requests, cpu: used, ...(readyAtMs !== undefined && { readyAtMs }) });
}

/** Its memory goes with it: whoever is measured next must not wait for it. */
const killed = (process: OperatorProcess) => ({ process, [Symbol.asyncDispose]: () => process.kill() });

/** The same bodies ready-made, sent by the load client in Go or by Bulkhead's own transport. */
export async function replayTurn(task: Task, concurrency: number, sender: Sender): Promise<Turn> {
  const { lab, jobs, tier } = task;
  await prepare(task);
  const cells = await fencedCells(task);
  await using file = await requestFile(lab, cellRequests(cells));
  await using ready = await ReadyWatch.open(task);
  await using tail = await AuditTail.from(lab.cluster.auditLogPath);
  const cpu = await CpuMeter.start(lab);
  const startedAtMs = wallClockMs();
  const report = await sendFile(lab, 'replay', file, concurrency, sender);
  const used = { ...cpu.used(), client: report.cpuSeconds };
  const requests = await tail.untilCreated(userOf('replay'), jobs * OBJECTS_A_JOB[tier], { stallMs: STALL_MS });
  const readyAtMs = await ready?.all();
  const detail = { ...report };
  return turnOf(jobs, { startedAtMs, requests, cpu: used, detail, ...(readyAtMs !== undefined && { readyAtMs }) });
}

async function fencedCells(task: Task): Promise<MarkedCell[]> {
  const store = newStoreId();
  await installFence(task.lab, store);
  return cellSources(store, task.jobs, loadOf(task));
}

/** An operator of the yardsticks, whose Cells are there before it starts. */
export async function operatorTurn(
  task: Task,
  account: Contestant,
  command: readonly [string, ...string[]],
): Promise<Turn> {
  const { lab, jobs, tier } = task;
  await installCellKind(lab);
  await sendAll(lab, 'controller-runtime', goalRequests(await fencedCells(task)), FILL_CONCURRENCY);
  await using ready = await ReadyWatch.open(task);
  await using tail = await AuditTail.from(lab.cluster.auditLogPath);
  const startedAtMs = wallClockMs();
  const child = spawnBound(command);
  const errors: string[] = [];
  child.stderr?.on('data', (bytes: Buffer) => errors.push(bytes.toString('utf8')));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const pid = child.pid;
  if (pid === undefined) throw new Error(`${command[0]} could not be started`);
  try {
    const cpu = await CpuMeter.start(lab, { client: () => treeCpuSeconds(pid) });
    const requests = await tail.untilCreated(userOf(account), jobs * OBJECTS_A_JOB[tier], { stallMs: STALL_MS });
    const used = cpu.used();
    const readyAtMs = await ready?.all();
    return turnOf(jobs, { startedAtMs, requests, cpu: used, ...(readyAtMs !== undefined && { readyAtMs }) });
  } catch (error) {
    throw new Error(`${command.join(' ')}: ${errors.join('').slice(-2_000)}`, { cause: error });
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

export const controllerRuntime = async (task: Task, ...flags: string[]): Promise<Turn> =>
  operatorTurn(task, 'controller-runtime', [
    await operatorBinary(),
    '--kubeconfig',
    task.lab.kubeconfigOf('controller-runtime'),
    ...flags,
  ]);
