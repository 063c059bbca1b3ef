import type { Goal, JobRevision } from '../job/goal.ts';
import { type JobId, type Revision, type Shard, type StoreId, shardOf } from '../job/ids.ts';
import type { JobStatus } from '../job/status.ts';
import type { Fence } from './shards.ts';
import type {
  Brake,
  BrakeVerdict,
  ChangeReader,
  Changes,
  Cursor,
  GoalReader,
  Head,
  HistoryReader,
  StatusStore,
  StoredStatus,
  TurnRecord,
  TurnRecorder,
} from './store.ts';

const CURSOR: Cursor = { system: '7000000000000000001', timeline: 1, horizon: '1' };

type UsedPart = GoalReader &
  ChangeReader &
  StatusStore &
  TurnRecorder &
  Pick<Brake, 'reserveRemoval'> &
  Pick<HistoryReader, 'revisionOf'>;

/** The part of a store that a controller uses, in memory. Fails the next call when told to. */
export class FakeStore implements UsedPart {
  readonly storeId: StoreId;
  readonly goalsById = new Map<JobId, Goal>();
  readonly statusesById = new Map<JobId, JobStatus>();
  /** Revisions before those that a goal's layers have. */
  readonly formerRevisions = new Map<JobId, readonly JobRevision[]>();
  readonly records: TurnRecord[] = [];
  /** What changesSince() answers next; null: everything has to be read. */
  changes: Omit<Changes, 'cursor'> | null = { jobs: [], platforms: [], lagMs: 0 };
  verdict: BrakeVerdict = { kind: 'granted' };
  readonly reserved: { readonly id: JobId; readonly revision: Revision }[] = [];
  /** Awaited by the next heads(). */
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

  async heads(shards?: readonly Shard[]): Promise<Head[]> {
    await this.delay;
    return [...this.goalsById.values()]
      .filter((goal) => shards === undefined || shards.includes(shardOf(goal.job.id)))
      .map((goal) => ({ jobId: goal.job.id, revision: goal.revision }));
  }

  async goals(ids: readonly JobId[]): Promise<Goal[]> {
    return ids.flatMap((id) => this.goalsById.get(id) ?? []);
  }

  async knows(ids: readonly JobId[]): Promise<Set<JobId>> {
    return new Set(ids.filter((id) => this.goalsById.has(id)));
  }

  async revisionOf(id: JobId, revision: Revision): Promise<JobRevision | null> {
    const layers = Object.values<JobRevision | null>({ ...this.goalsById.get(id)?.layers });
    const known = [...layers, ...(this.formerRevisions.get(id) ?? [])];
    return known.find((it) => it?.revision === revision) ?? null;
  }

  async cursor(): Promise<Cursor> {
    return CURSOR;
  }

  async changesSince(cursor: Cursor): Promise<Changes | null> {
    return this.changes && { ...this.changes, cursor };
  }

  async jobsOf(tenant: string | null, shards: readonly Shard[]): Promise<JobId[]> {
    const goals = [...this.goalsById.values()].filter(({ job }) => tenant === null || job.tenant === tenant);
    return goals.map(({ job }) => job.id).filter((id) => shards.includes(shardOf(id)));
  }

  async statuses(ids?: readonly JobId[]): Promise<StoredStatus[]> {
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

  async reserveRemoval(_fence: Fence, id: JobId, revision: Revision): Promise<BrakeVerdict> {
    this.reserved.push({ id, revision });
    return this.verdict;
  }
}
