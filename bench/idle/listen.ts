import { setTimeout as sleep } from 'node:timers/promises';
import { AuditTail, type Contestant, cpuSeconds, isWrite, type Lab, userOf } from '../lab/index.ts';

const WRITES = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);
/** Nobody is at rest who has written anything for so long, and a fill is given so much to come to rest. */
const [REST_MS, REST_LIMIT_MS] = [30_000, 20 * 60_000];
/** The window is cut into so many pieces, whose differences say how sure its figures are. */
const PIECES = 20;

/** What one operator did while nobody wanted anything. */
export interface Heard {
  /** How often each was asked for: `watch deployments`, `get configmaps`. */
  readonly calls: Readonly<Record<string, number>>;
  /** Neither a watch that is opened nor a read of a single object. */
  readonly loud: number;
  /** Processor seconds a minute in each piece of the window. */
  readonly cpuPerMinute: readonly number[];
}

export interface Listened {
  readonly lab: Lab;
  readonly contestant: Contestant;
  readonly pid: number;
}

/**
 * Waits until nobody has written for a while: what a fill leaves behind (statuses still to be patched, garbage in memory) is
 * no one's rest.
 * @throws Error when somebody writes for ever
 */
export async function untilAtRest(to: readonly Listened[]): Promise<void> {
  const endsAt = performance.now() + REST_LIMIT_MS;
  const tails = await Promise.all(to.map(({ lab }) => AuditTail.from(lab.cluster.auditLogPath)));
  try {
    for (;;) {
      await sleep(REST_MS);
      const written = await Promise.all(tails.map(async (tail) => (await tail.read()).filter(isWrite).length));
      if (written.every((count) => count === 0)) return;
      if (performance.now() > endsAt) {
        const who = to.map(({ contestant }, i) => `${contestant} ${written[i]}`).join(', ');
        throw new Error(
          `not at rest after ${REST_LIMIT_MS / 60_000} min; writes in the last ${REST_MS / 1000} s: ${who}`,
        );
      }
    }
  } finally {
    for (const tail of tails) await tail[Symbol.asyncDispose]();
  }
}

/** Listens to several operators at once, which do not share an API server. */
export async function listen(to: readonly Listened[], seconds: number): Promise<Heard[]> {
  const tails = await Promise.all(to.map(({ lab }) => AuditTail.from(lab.cluster.auditLogPath)));
  const cpu = to.map((): number[] => []);
  let before = to.map(({ pid }) => cpuSeconds(pid));
  let atMs = performance.now();
  for (let piece = 0; piece < PIECES; piece += 1) {
    await sleep((seconds * 1000) / PIECES);
    const now = performance.now();
    const used = to.map(({ pid }) => cpuSeconds(pid));
    used.forEach((total, i) => {
      cpu[i]?.push(((total - (before[i] ?? Number.NaN)) * 60_000) / (now - atMs));
    });
    [before, atMs] = [used, now];
  }
  return await Promise.all(
    tails.map(async (tail, i) => {
      const requests = await tail.read();
      await tail[Symbol.asyncDispose]();
      const user = to[i] && userOf(to[i].contestant);
      const calls: Record<string, number> = {};
      let loud = 0;
      for (const { verb, resource, uri, user: by } of requests) {
        if (by !== user) continue;
        const key = `${verb} ${resource || uri}`;
        calls[key] = (calls[key] ?? 0) + 1;
        if (verb === 'list' || WRITES.has(verb)) loud += 1;
      }
      return { calls, loud, cpuPerMinute: cpu[i] ?? [] };
    }),
  );
}
