import { setTimeout as sleep } from 'node:timers/promises';
import { SHARD_COUNT } from '../src/job/ids.ts';
import { sql } from '../test/support/postgres.ts';
import { OperatorProcess, type OperatorProcessOptions } from '../test/support/processes.ts';
import { until } from '../test/support/until.ts';

/** Replicas as processes, and who owns which shard. */

export interface Ownership {
  readonly shard: number;
  /** Process id of the owner; null while nobody owns it. */
  readonly pid: number | null;
  readonly n: number;
}

const START_LIMIT_MS = 60_000;
const POLL_MS = 25;

/** The shards as the database has them now. A replica's name holds its process id: HOST-PID-ID. */
export async function ownerships(superuserUrl: string): Promise<Ownership[]> {
  const rows = await sql<{ id: number; name: string | null; epoch: string }>(
    superuserUrl,
    `select s.id, r.name, s.epoch from bulkhead.shard s left join bulkhead.replica r on r.id = s.owner order by s.id`,
  );
  return rows.map(({ id, name, epoch }) => ({
    shard: id,
    pid: name === null ? null : Number(/-(\d+)-[^-]*$/.exec(name)?.[1] ?? Number.NaN),
    n: Number(epoch),
  }));
}

/** How many shards each process owns. */
export function division(owned: readonly Ownership[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { pid } of owned) if (pid !== null) counts.set(pid, (counts.get(pid) ?? 0) + 1);
  return counts;
}

/** Whether these processes own all shards among themselves, no two more than one apart. */
export function isEven(owned: readonly Ownership[], pids: readonly number[]): boolean {
  const counts = division(owned);
  const sizes = pids.map((pid) => counts.get(pid) ?? 0);
  const total = sizes.reduce((a, b) => a + b, 0);
  return total === SHARD_COUNT && Math.max(...sizes) - Math.min(...sizes) <= 1;
}

/** How many shards a process says it acts for, by its own metrics. */
export async function activeShards(replica: OperatorProcess): Promise<number> {
  const url = String(replica.said('health is served')?.url ?? '');
  if (url === '') return 0;
  try {
    const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(3_000) })).text();
    return Number(/^bulkhead_shards_active (\d+)/m.exec(text)?.[1] ?? 0);
  } catch {
    // It has stopped, or is too busy to answer: it is asked again.
    return 0;
  }
}

/** Waits until the shards are even among `replicas`, and each acts for all of its own. @returns after how long */
export async function untilEven(
  superuserUrl: string,
  replicas: readonly OperatorProcess[],
  timeoutMs = START_LIMIT_MS,
): Promise<number> {
  const pids = replicas.map(({ pid }) => pid);
  const { elapsedMs } = await until(`${replicas.length} replicas share the shards`, timeoutMs, async () => {
    for (const replica of replicas) replica.requireAlive();
    const owned = await ownerships(superuserUrl);
    if (!isEven(owned, pids)) return false;
    const counts = division(owned);
    const active = await Promise.all(replicas.map(activeShards));
    return replicas.every(({ pid }, i) => active[i] === counts.get(pid));
  });
  return elapsedMs;
}

/** Starts replicas and waits until they share the shards; when they do not, none of them is left. */
export async function startReplicas(
  superuserUrl: string,
  options: readonly OperatorProcessOptions[],
): Promise<OperatorProcess[]> {
  await using started = new AsyncDisposableStack();
  const replicas = options.map((one) => started.use(OperatorProcess.start(one)));
  for (const replica of replicas) await replica.untilSaid('watching the cluster', START_LIMIT_MS);
  await untilEven(superuserUrl, replicas);
  started.move();
  return replicas;
}

/** Polls the shards until every one of `shards` has another owner than `pid` who is alive. @returns when that was */
export async function untilTakenOver(
  superuserUrl: string,
  shards: readonly number[],
  pid: number,
  timeoutMs: number,
): Promise<number> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const owned = await ownerships(superuserUrl);
    const taken = shards.every((shard) => {
      const owner = owned[shard]?.pid ?? null;
      return owner !== null && owner !== pid;
    });
    if (taken) return performance.now();
    if (performance.now() > deadline) throw new Error(`${shards.length} shards of ${pid}: not taken over in time`);
    await sleep(POLL_MS);
  }
}
