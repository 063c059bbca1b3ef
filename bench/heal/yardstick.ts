import { spawnBound } from '../../test/support/processes.ts';
import { until } from '../../test/support/until.ts';
import { untilQuiet } from '../change/filled.ts';
import {
  cellRequests,
  cellSources,
  goalRequests,
  installCellKind,
  installFence,
  type Lab,
  type MarkedCell,
  newStoreId,
} from '../lab/index.ts';
import { sendAll } from '../rebuild/replay.ts';
import { operatorBinary } from '../yardsticks/build.ts';

const START_LIMIT_MS = 120_000;
const FILL_CONCURRENCY = 16;
const ENDED = 'the yardstick has ended';

/** The controller-runtime operator, tuned, with cells that are all as they should be. */
export interface Yardstick {
  readonly pid: number;
  readonly cells: readonly MarkedCell[];
  /** @throws Error with its last words when it has ended */
  requireAlive(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * The replay makes the cells, and the operator finds them done.
 * @param options.kubeconfig of the operator, if not the lab's own
 * @param options.startLimitMs until it leads and has seen all of them
 */
export async function tunedYardstick(
  lab: Lab,
  jobs: number,
  {
    kubeconfig = lab.kubeconfigOf('controller-runtime'),
    startLimitMs = START_LIMIT_MS,
  }: { readonly kubeconfig?: string; readonly startLimitMs?: number } = {},
): Promise<Yardstick> {
  const store = newStoreId();
  await installFence(lab, store);
  await installCellKind(lab);
  const cells = cellSources(store, jobs, { tier: 'namespace' });
  await sendAll(lab, 'replay', cellRequests(cells), FILL_CONCURRENCY);
  await sendAll(lab, 'controller-runtime', goalRequests(cells), FILL_CONCURRENCY);
  const child = spawnBound([await operatorBinary(), '--kubeconfig', kubeconfig, '--tuned'], { stdout: 'pipe' });
  const { pid } = child;
  if (pid === undefined) throw new Error('the yardstick could not be started');
  let [said, complained, hasEnded] = ['', '', false];
  child.stdout?.on('data', (bytes: Buffer) => {
    said += bytes.toString('utf8');
  });
  child.stderr?.on('data', (bytes: Buffer) => {
    complained = (complained + bytes.toString('utf8')).slice(-2_000);
  });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => {
      hasEnded = true;
      resolve();
    });
  });
  const requireAlive = (): void => {
    if (hasEnded) throw new Error(`${ENDED}: ${complained}`);
  };
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  try {
    await until('the yardstick works', startLimitMs, () => {
      requireAlive();
      return said.includes('"leading"');
    });
    await untilQuiet(lab);
  } catch (error) {
    await stop();
    throw error;
  }
  return { pid, cells, requireAlive, [Symbol.asyncDispose]: stop };
}
