import { setTimeout as sleep } from 'node:timers/promises';
import { SHARD_COUNT } from '../src/job/ids.ts';
import type { OperatorProcess } from '../test/support/processes.ts';
import type { Fleet } from './fleet.ts';
import { applyAll, onePerShard, specOf, unserved, type WrittenJob } from './jobs.ts';
import { activeShards, ownerships, untilTakenOver } from './replicas.ts';

/** A replica goes, and others take its shards over. All times are from the moment it goes. */
export interface Handoff {
  readonly shards: number;
  /** Until another replica owned every one of its shards. */
  readonly ownedMs: number;
  /** Until others acted for every one of them: the fence in the cluster is raised and proved. */
  readonly activeMs: number;
  /** Jobs that were edited when it went, each of another of its shards. */
  readonly edits: number;
  /** Until all those edits were acted on. */
  readonly servedMs: number;
  /** The same edits just before, with nobody going: what of it is this machine's speed. */
  readonly usualMs: number;
}

const GIVE_UP_MS = 60_000;
const POLL_MS = 25;
/**
 * Few, since an edit is to measure how soon a job is looked after, and not how fast this machine carries out very many:
 * each rewrites a whole cell.
 */
const EDITS = 5;

let edited = 0;

/** Some other network for each, since that makes no new workers. */
async function edit(fleet: Fleet, jobs: readonly WrittenJob[]): Promise<WrittenJob[]> {
  edited += 1;
  const network = { egress: [{ cidr: `10.${edited % 256}.0.0/16` }] };
  const names = jobs.map(({ name }) => name);
  return applyAll(fleet.database.store, names, specOf('app:1', { network }));
}

async function timeEdits(fleet: Fleet, jobs: readonly WrittenJob[]): Promise<number> {
  const startedAt = performance.now();
  let left = await edit(fleet, jobs);
  const servedAt = await when('edits are acted on', async () => {
    left = await unserved(fleet.database.store, left);
    return left.length === 0;
  });
  return servedAt - startedAt;
}

function chooseAny<T>(from: readonly T[], count: number): T[] {
  return from
    .map((value) => ({ value, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .slice(0, count)
    .map(({ value }) => value);
}

/** Waits until `done` says so. @returns when that was */
async function when(what: string, done: () => Promise<boolean>): Promise<number> {
  const startedAt = performance.now();
  while (!(await done())) {
    if (performance.now() - startedAt > GIVE_UP_MS) throw new Error(`${what}: not within ${GIVE_UP_MS} ms`);
    await sleep(POLL_MS);
  }
  return performance.now();
}

/**
 * Lets `leave` take one replica away, edits jobs of its shards in the same moment, and waits until others act for all of
 * it. Puts another replica in its place afterwards.
 */
export async function handOff(fleet: Fleet, leave: (leaving: OperatorProcess) => void): Promise<Handoff> {
  const { database } = fleet;
  const [leaving, ...others] = fleet.replicas;
  if (!leaving) throw new Error('the fleet is empty');
  const owned = await ownerships(database.superuserUrl);
  const shards = owned.filter(({ pid }) => pid === leaving.pid).map(({ shard }) => shard);
  const affected = onePerShard(fleet.jobs).filter(({ shard }) => shards.includes(shard));
  const chosen = chooseAny(affected, EDITS);
  const usualMs = await timeEdits(fleet, chosen);
  const leftAt = performance.now();
  leave(leaving);
  let left = await edit(fleet, chosen);
  const edits = left.length;
  const [ownedAt, activeAt, servedAt] = await Promise.all([
    untilTakenOver(database.superuserUrl, shards, leaving.pid, GIVE_UP_MS),
    when('others act for its shards', async () => {
      const active = await Promise.all(others.map(activeShards));
      return active.reduce((a, b) => a + b, 0) === SHARD_COUNT;
    }),
    when('the edits are acted on', async () => {
      left = await unserved(database.store, left);
      return left.length === 0;
    }),
  ]);
  await leaving.exited;
  await fleet.replace(leaving);
  return {
    shards: shards.length,
    ownedMs: ownedAt - leftAt,
    activeMs: activeAt - leftAt,
    edits,
    servedMs: servedAt - leftAt,
    usualMs,
  };
}
