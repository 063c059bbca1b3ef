import type { Goal } from '../job/goal.ts';
import { epoch, type JobId, type StoreId } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import type { Fence, GoalReader, Head, StatusStore, StoredStatus, TurnRecord, TurnRecorder } from './store.ts';

export const FAKE_FENCE: Fence = { owner: 'test', epoch: epoch(1) };

/** The part of a store that a controller uses, in memory. Fails the next call when told to. */
export class FakeStore implements GoalReader, StatusStore, TurnRecorder {
  readonly storeId: StoreId;
  readonly goalsById = new Map<JobId, Goal>();
  readonly statusesById = new Map<JobId, JobStatus>();
  readonly records: TurnRecord[] = [];
  /** Awaited by the next statuses(). */
  delay: Promise<unknown> = Promise.resolve();
  #failNext: Error[] = [];

  constructor(storeId: StoreId, goals: readonly Goal[]) {
    this.storeId = storeId;
    for (const goal of goals) this.goalsById.set(goal.job.id, goal);
  }

  /** The next calls of record() reject with these, one each. */
  failNext(...errors: Error[]): void {
    this.#failNext.push(...errors);
  }

  async heads(): Promise<Head[]> {
    return [...this.goalsById.values()].map((goal) => ({ jobId: goal.job.id, revision: goal.revision }));
  }

  async goals(ids: readonly JobId[]): Promise<Goal[]> {
    return ids.flatMap((id) => this.goalsById.get(id) ?? []);
  }

  async statuses(ids?: readonly JobId[]): Promise<StoredStatus[]> {
    await this.delay;
    const wanted = ids ?? [...this.statusesById.keys()];
    return wanted.flatMap((id) => {
      const status = this.statusesById.get(id);
      return status ? [{ status, updatedAt: new Date(0) }] : [];
    });
  }

  async record(_fence: Fence, turn: TurnRecord): Promise<void> {
    const failure = this.#failNext.shift();
    if (failure) throw failure;
    this.records.push(turn);
    if (turn.status) this.statusesById.set(turn.status.jobId, turn.status);
  }
}
