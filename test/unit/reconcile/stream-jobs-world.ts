import { contentHash } from '../../../src/job/canonical.ts';
import type { Goal, JobContent, JobRevision } from '../../../src/job/goal.ts';
import { clusterId, type JobId, type JobName, jobName, parseJobId, type Revision } from '../../../src/job/ids.ts';
import type { JobSpec } from '../../../src/job/spec.ts';
import type { FieldKeeper, JobStatus } from '../../../src/job/status.ts';
import { statusJob } from '../../../src/plan/stream-job.ts';
import { ClusterError } from '../../../src/ports/cluster.ts';
import type { Fence } from '../../../src/ports/shards.ts';
import {
  type ChangeOrigin,
  type GoalCatalog,
  type GoalChange,
  type GoalReceipt,
  type GoalWriter,
  type HistoryReader,
  StoreError,
} from '../../../src/ports/store.ts';
import { FakeStreamJobs } from '../../../src/ports/stream-jobs.fake.ts';
import { FakeStreamJobServer } from '../../../src/ports/stream-jobs-server.fake.ts';
import { StreamJobSide } from '../../../src/reconcile/stream-job-side.ts';
import type { StoredJob } from '../../../src/store/goals.ts';
import { decide, isStored } from '../../../src/store/write-decide.ts';
import { refuseKept } from '../../../src/store/write-kept.ts';
import { FENCE_A, goalOf, STORE } from '../../support/goals.ts';
import { MemoryLog } from '../../support/log.ts';

/** More workers than these, and the store refuses the goal: the platform's limit. */
export const MAX_WORKERS = 100;

/** The process is killed here. */
export class Crash extends Error {}

/** What happens at one write of a turn, to the API server or to the store. */
export interface Fault {
  /** Of the writes of the turn, from 0. */
  readonly write: number;
  readonly when: 'before' | 'after';
  readonly what: 'crash' | 'no answer' | (() => void);
}

interface Kept {
  readonly id: JobId;
  readonly job: JobName;
  readonly revisions: JobRevision<JobContent>[];
  keepers: readonly FieldKeeper[];
}

/** Goals in memory, of layer `job` only, with the store's own rules of what a write does. */
export class Goals implements Pick<GoalWriter, 'write'> {
  readonly byId = new Map<JobId, Kept>();
  readonly #replies = new Map<string, { readonly body: string; readonly receipts: GoalReceipt[] }>();
  onWrite: (when: 'before' | 'after') => void = () => undefined;
  /** Writes that were taken, also those that changed nothing. */
  writes = 0;

  async write(changes: readonly GoalChange[], origin: ChangeOrigin): Promise<GoalReceipt[]> {
    this.onWrite('before');
    const receipts = this.writeNow(changes, origin);
    this.writes += 1;
    this.onWrite('after');
    return receipts;
  }

  writeNow(changes: readonly GoalChange[], origin: ChangeOrigin): GoalReceipt[] {
    const body = contentHash(changes.map(({ base: _base, job, ...change }) => ({ ...change, job: jobName(job) })));
    const former = origin.idempotencyKey && this.#replies.get(origin.idempotencyKey);
    if (former) {
      if (former.body !== body) throw new StoreError('conflict', 'the idempotency key was used for other changes');
      return former.receipts;
    }
    const receipts = changes.map((change) => this.#one(change, origin));
    if (origin.idempotencyKey) this.#replies.set(origin.idempotencyKey, { body, receipts });
    return receipts;
  }

  #one(change: GoalChange, origin: ChangeOrigin): GoalReceipt {
    const kept = this.#newest(change.job);
    const step = decide(change, kept && storedOf(kept));
    if (!isStored(step)) return step.receipt;
    if (kept) {
      const name = jobName(change.job);
      refuseKept([step], origin.source, new Map([[name, storedOf(kept)]]), new Map([[kept.id, kept.keepers]]));
    }
    const { content } = change;
    if (content.kind !== 'spec' && content.kind !== 'tombstone') throw new Error('only layer job is here');
    if (content.kind === 'spec' && (content.spec.workers?.replicas ?? 0) > MAX_WORKERS) {
      throw new StoreError('invalid', `more than ${MAX_WORKERS} workers`);
    }
    const { id, revision } = step.receipt;
    if (step.receipt.outcome === 'created' && this.byId.has(id)) throw new StoreError('conflict', 'the id is taken');
    const to = this.byId.get(id) ?? { id, job: change.job, revisions: [], keepers: [] };
    this.byId.set(id, to);
    to.revisions.push({
      revision: revision as Revision,
      content,
      contentHash: step.contentHash,
      author: origin.author,
      source: origin.source,
      reason: origin.reason,
      idempotencyKey: origin.idempotencyKey ?? null,
      createdAt: new Date(0),
      ...(change.takeOver && { takeOver: true as const }),
    });
    return step.receipt;
  }

  #newest(job: JobName): Kept | undefined {
    return [...this.byId.values()].find((it) => jobName(it.job) === jobName(job));
  }

  goal(id: JobId): Goal | null {
    const kept = this.byId.get(id);
    const head = kept?.revisions.at(-1);
    if (!kept || !head) return null;
    const goal = goalOf(undefined, { id, ...kept.job, revision: head.revision, content: head.content });
    return { ...goal, layers: { ...goal.layers, job: head } };
  }

  named(job: JobName): Goal | null {
    const kept = this.#newest(job);
    return kept ? this.goal(kept.id) : null;
  }

  async find(job: JobName): Promise<Goal | null> {
    const goal = this.named(job);
    return goal?.content.kind === 'tombstone' ? null : goal;
  }

  async revisionOf(id: JobId, revision: Revision): Promise<JobRevision | null> {
    return this.byId.get(id)?.revisions[revision - 1] ?? null;
  }
}

function storedOf({ id, job, revisions }: Kept): StoredJob {
  const head = revisions.at(-1);
  if (!head) throw new Error('a job has a revision');
  return {
    job: { ...job, id },
    head: head.revision,
    newest: { job: head, scaler: null, oncall: null },
    keptUntil: null,
  };
}

const statusOf = (goal: Goal, keepers: readonly FieldKeeper[]): JobStatus => ({
  jobId: goal.job.id,
  observedRevision: goal.revision,
  observedPlatform: { all: 0, tenant: 0 },
  clusterId: clusterId('00000000-0000-4000-8000-0000000000cc'),
  phase: 'Running',
  conditions: [
    {
      type: 'Ready',
      status: 'True',
      reason: 'Running',
      message: 'all is well',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    },
  ],
  workers: { desired: 1, ready: 1, restarts: 0 },
  cell: 'cell',
  tier: 'namespace',
  next: [],
  ...(keepers.length > 0 && { keepers }),
});

interface Replica {
  readonly jobs: FakeStreamJobs;
  readonly side: StreamJobSide;
}

export interface TurnOptions {
  readonly faults?: readonly Fault[];
  /** The replica's watch has not heard of the latest changes. */
  readonly late?: boolean;
}

/** A store, a cluster and replicas that take turns for each other's shards. */
export class World {
  readonly server: FakeStreamJobServer;
  readonly goals = new Goals();
  readonly log = new MemoryLog();
  readonly #replicas: Replica[];
  #faults: readonly Fault[] = [];
  #writes = 0;
  #isInside = false;

  constructor(tenants: readonly string[], replicas = 2) {
    this.server = new FakeStreamJobServer(STORE, tenants);
    this.goals.onWrite = (when) => this.#meet(when, new StoreError('unavailable', 'no answer'));
    this.#replicas = Array.from({ length: replicas }, () => this.#start());
  }

  #start(): Replica {
    const jobs = new FakeStreamJobs(this.server, (when) =>
      this.#meet(when, new ClusterError('unavailable', 'no answer')),
    );
    const store = this.goals as unknown as GoalWriter & Pick<HistoryReader, 'revisionOf'> & Pick<GoalCatalog, 'find'>;
    return { jobs, side: new StreamJobSide({ jobs, storeId: STORE, store, log: this.log }) };
  }

  /** Each fault strikes once. */
  #meet(when: 'before' | 'after', noAnswer: Error): void {
    if (this.#isInside) return;
    const now = this.#faults.filter((fault) => fault.write === this.#writes && fault.when === when);
    if (when === 'after') this.#writes += 1;
    this.#isInside = true;
    try {
      for (const { what } of now) if (typeof what === 'function') what();
    } finally {
      this.#isInside = false;
    }
    if (now.some(({ what }) => what === 'crash')) throw new Crash();
    if (now.some(({ what }) => what === 'no answer')) throw noAnswer;
  }

  /** Whatever a replica of this index has to look at: every job, and every object that none is made of yet. */
  keys(index = 0): JobId[] {
    const objects = this.#replica(index).jobs.all();
    const named = objects.flatMap((object) => statusJob(object, STORE) ?? parseJobId(object.uid) ?? []);
    return [...new Set([...this.goals.byId.keys(), ...named])];
  }

  #replica(index: number): Replica {
    const replica = this.#replicas[index];
    if (!replica) throw new Error(`no replica ${index}`);
    return replica;
  }

  /** Every key gets a turn of this replica; the faults count over all of them. A crash ends them, and starts it anew. */
  async turns(index = 0, { faults = [], late = false }: TurnOptions = {}): Promise<void> {
    const { jobs } = this.#replica(index);
    if (late) jobs.syncIfReplaced();
    else jobs.sync();
    this.#faults = faults;
    this.#writes = 0;
    try {
      for (const id of this.keys(index)) {
        const woken = await this.#turn(id, this.#replica(index).side);
        if (woken) await this.#turn(woken, this.#replica(index).side);
      }
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      this.#replicas[index] = this.#start();
    } finally {
      this.#faults = [];
    }
  }

  /** As the controller takes them. @returns a job that is woken by it */
  async #turn(id: JobId, side: StreamJobSide): Promise<JobId | null> {
    const fence = (): Fence => FENCE_A;
    try {
      const goal = this.goals.goal(id);
      if (!goal) {
        const welcome = await side.welcome(id, fence);
        return typeof welcome === 'object' ? welcome.job : null;
      }
      const taken = await side.takeIn(goal, fence, async () => this.goals.goal(id));
      const status = statusOf(taken?.goal ?? goal, taken?.keepers ?? []);
      const kept = this.goals.byId.get(id);
      if (kept) kept.keepers = status.keepers ?? [];
      const shown = { goal: taken?.goal ?? goal, status, events: taken?.events ?? [] };
      if (taken && !taken.failure) await side.show(shown, taken, fence());
    } catch (error) {
      // As the controller does: the key comes again.
      if (!(error instanceof StoreError) && !(error instanceof ClusterError)) throw error;
      if (error.kind !== 'unavailable') this.log.warn({ error: error.message }, 'a turn failed');
    }
    return null;
  }

  /** Rounds of turns until nothing is written any more. @returns how many it took; throws past the bound */
  async settle(bound: number, index = 0): Promise<number> {
    for (let round = 0; round <= bound; round += 1) {
      const before = this.#traces();
      await this.turns(index);
      if (this.#traces() === before) return round;
    }
    throw new Error(`still written after ${bound} rounds: ${JSON.stringify(this.server.all(), null, 1)}`);
  }

  #traces(): string {
    return [this.server.writes, this.server.told.length, this.goals.writes].join(' ');
  }

  /** The specs of a job's revisions, oldest first, each with who made it. */
  history(job: JobName): { readonly spec: JobSpec | null; readonly author: string }[] {
    const goal = this.goals.named(job);
    const revisions = goal ? (this.goals.byId.get(goal.job.id)?.revisions ?? []) : [];
    return revisions.map(({ content, author }) => ({ spec: content.kind === 'spec' ? content.spec : null, author }));
  }
}
