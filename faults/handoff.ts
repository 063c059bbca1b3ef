import { setTimeout as sleep } from 'node:timers/promises';
import type { OperatorProcess } from '../test/support/processes.ts';
import type { Fleet } from './fleet.ts';
import { applyAll, onePerShard, specOf, unserved } from './jobs.ts';
import { ownerships, untilTakenOver } from './replicas.ts';

/** A replica goes, and others take its shards over. */
export interface Handoff {
  readonly shards: number;
  /** Jobs that were edited when it went: one of each of its shards that has any. */
  readonly jobs: number;
  /** Until another replica owned every one of its shards. */
  readonly ownedMs: number;
  /** Until the first of those edits was acted on. */
  readonly firstMs: number;
  /** Until all those edits were acted on. */
  readonly servedMs: number;
}

const GIVE_UP_MS = 60_000;
const POLL_MS = 25;

/**
 * Lets `leave` take one replica away, edits a job of each of its shards in the same moment, and waits until all of that
 * is acted on. Puts another replica in its place afterwards.
 */
export async function handOff(fleet: Fleet, leave: (leaving: OperatorProcess) => void): Promise<Handoff> {
  const { database } = fleet;
  const [leaving] = fleet.replicas;
  if (!leaving) throw new Error('the fleet is empty');
  const owned = await ownerships(database.superuserUrl);
  const shards = owned.filter(({ pid }) => pid === leaving.pid).map(({ shard }) => shard);
  const affected = onePerShard(fleet.jobs).filter(({ shard }) => shards.includes(shard));
  const leftAt = performance.now();
  leave(leaving);
  const image = `app:${Math.round(leftAt)}`;
  const edits = await applyAll(
    database.store,
    affected.map(({ name }) => name),
    specOf(image),
  );
  const owning = untilTakenOver(database.superuserUrl, shards, leaving.pid, GIVE_UP_MS);
  let left = edits;
  let firstMs = Number.POSITIVE_INFINITY;
  while (left.length > 0) {
    left = await unserved(database.store, left);
    if (left.length < edits.length) firstMs = Math.min(firstMs, performance.now() - leftAt);
    if (performance.now() - leftAt > GIVE_UP_MS)
      throw new Error(`${left.length} of ${edits.length} jobs stay unserved`);
    await sleep(POLL_MS);
  }
  const servedMs = performance.now() - leftAt;
  const ownedMs = (await owning) - leftAt;
  await leaving.exited;
  await fleet.replace(leaving);
  return { shards: shards.length, jobs: edits.length, ownedMs, firstMs, servedMs };
}
