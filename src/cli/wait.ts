import { setTimeout as sleep } from 'node:timers/promises';
import { type JobRef, jobName, type Revision } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import { StoreError } from '../ports/store.ts';
import type { Context } from './context.ts';
import { CliError } from './errors.ts';
import { print, say } from './output.ts';
import { isServed } from './replicas.ts';

const LOOK_EVERY_MS = 500;

/** A job, and the revision that has to be reached. */
export interface WaitTarget {
  readonly job: JobRef;
  readonly revision: Revision;
}

export interface WaitGoal {
  /** What is waited for, and how it is worded once it has come. */
  readonly until: { readonly word: string; readonly met: (status: JobStatus) => boolean };
  readonly timeoutMs: number;
}

const readyOf = (status: JobStatus) => status.conditions.find((condition) => condition.type === 'Ready');

/** A suspended job has no workers that could become ready; it is as it should be. */
export const isReady: WaitGoal['until'] = {
  word: 'ready',
  met: (status) => readyOf(status)?.status === 'True' || status.phase === 'Suspended',
};

export const isGone: WaitGoal['until'] = { word: 'gone', met: (status) => status.phase === 'Gone' };

/** One line for a person: where a job stands. */
function standing(job: JobRef, status: JobStatus | undefined): string {
  const name = jobName(job);
  if (!status) return `${name} was not looked at yet`;
  const ready = readyOf(status);
  return `${name} is ${status.phase}${ready ? ` (${ready.reason}: ${ready.message})` : ''}`;
}

async function read(context: Context, targets: readonly WaitTarget[]): Promise<Map<string, JobStatus> | null> {
  try {
    const store = await context.store();
    const stored = await store.statuses(targets.map(({ job }) => job.id));
    return new Map(stored.map(({ status }) => [status.jobId, status]));
  } catch (error) {
    // The goals are stored already: a database that is away for a moment must not end the wait.
    if (error instanceof StoreError && error.kind === 'unavailable') return null;
    throw error;
  }
}

/**
 * Waits until every target is as wanted, and prints a line for each that is. Tells on the way what changes.
 * @throws CliError after `timeoutMs`, with what each of the others lacks
 */
export async function waitFor(context: Context, targets: readonly WaitTarget[], goal: WaitGoal): Promise<void> {
  const deadline = performance.now() + goal.timeoutMs;
  const said = new Map<string, string>();
  let pending = [...targets];
  let statuses = new Map<string, JobStatus>();
  if (pending.length > 0 && !isServed(await (await context.store()).replicas())) {
    say('No operator runs, so nothing happens yet; start one with: bulkhead run');
  }
  while (pending.length > 0) {
    statuses = (await read(context, pending)) ?? statuses;
    const reached: WaitTarget[] = [];
    for (const target of pending) {
      const status = statuses.get(target.job.id);
      const current = status && status.observedRevision >= target.revision ? status : undefined;
      if (current && goal.until.met(current)) reached.push(target);
      else if (current) tell(target.job, current, said);
    }
    for (const { job } of reached) await print(`streamjob/${job.name} ${goal.until.word} (tenant ${job.tenant})\n`);
    pending = pending.filter((target) => !reached.includes(target));
    if (pending.length === 0) return;
    if (performance.now() >= deadline) throw timedOut(pending, statuses, goal);
    await sleep(LOOK_EVERY_MS);
  }
}

function tell(job: JobRef, status: JobStatus, said: Map<string, string>): void {
  const line = standing(job, status);
  if (said.get(job.id) === line) return;
  said.set(job.id, line);
  say(line);
}

function timedOut(pending: readonly WaitTarget[], statuses: Map<string, JobStatus>, goal: WaitGoal): CliError {
  const lines = pending.map(({ job }) => standing(job, statuses.get(job.id)));
  return new CliError(
    `not ${goal.until.word} after ${Math.round(goal.timeoutMs / 1000)} s: ${lines.join('; ')}; look with: bulkhead describe ${pending
      .map(({ job }) => jobName(job))
      .slice(0, 3)
      .join(' ')}`,
  );
}
