import type { Transport } from '../../src/cluster/transport.ts';
import type { JobId } from '../../src/job/ids.ts';
import type { JobSpec } from '../../src/job/spec.ts';
import type { JobStatus, Phase } from '../../src/job/status.ts';
import { Operator } from '../../src/operator.ts';
import type { Tracing } from '../../src/signals/tracing.ts';
import type { Store } from '../../src/store/open.ts';
import type { LocalCluster } from '../cluster/types.ts';
import { breakGlass } from './break-glass.ts';
import { MemoryLog } from './log.ts';
import { until } from './until.ts';

const ORIGIN = { author: 'test', source: 'cli', reason: null } as const;

export interface RunningOperator {
  readonly log: MemoryLog;
  /** Stops it as SIGTERM does. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface StartOptions {
  readonly kubeconfig: string;
  readonly context?: string;
  /** Left out: all of them. */
  readonly namespaces?: readonly string[];
  /** Where it listens is in its log: `health is served`. Left out: nowhere. */
  readonly health?: { readonly host: string; readonly port: number };
  readonly tracing?: Tracing | null;
}

/** The real operator, in this process. */
export function startOperator(store: Store, options: StartOptions): RunningOperator {
  const log = new MemoryLog();
  const target = { kubeconfig: options.kubeconfig, context: options.context ?? null };
  const { health = null, tracing = null, namespaces } = options;
  const operator = new Operator({ store, target, health, log, tracing, ...(namespaces && { namespaces }) });
  const running = operator.run();
  const stop = async () => {
    operator.stop();
    await running;
  };
  return { log, stop, [Symbol.asyncDispose]: stop };
}

/** Writes one job's goal. @returns its id */
export async function applyJob(store: Store, name: string, spec: JobSpec, tenant = 'ads'): Promise<JobId> {
  const [receipt] = await store.write([{ job: { tenant, name }, content: { kind: 'spec', spec } }], ORIGIN);
  if (!receipt?.id) throw new Error(`the store gave no id for ${name}`);
  return receipt.id;
}

export async function removeJob(store: Store, name: string, tenant = 'ads'): Promise<void> {
  await store.write([{ job: { tenant, name }, content: { kind: 'tombstone' } }], ORIGIN);
}

export async function statusOf(store: Store, id: JobId): Promise<JobStatus | null> {
  const [stored] = await store.statuses([id]);
  return stored?.status ?? null;
}

/** Waits until the newest revision of a job is in this phase. */
export async function untilPhase(store: Store, id: JobId, phase: Phase, timeoutMs = 30_000): Promise<JobStatus> {
  const check = async () => {
    const [head] = await store.goals([id]);
    const status = await statusOf(store, id);
    return status?.phase === phase && status.observedRevision === head?.revision ? status : null;
  };
  return (await until(`job ${id} is ${phase}`, timeoutMs, check)).value;
}

/** Calls to the API server as somebody other than the operator, who may change cells by hand. */
export const connect = (cluster: Pick<LocalCluster, 'kubeconfigPath' | 'context'>): Promise<Transport> =>
  breakGlass(cluster);
