import { contentHash } from '../job/canonical.ts';
import type { Goal, JobContent } from '../job/goal.ts';
import { jobName, parseJobId, type Revision, type StoreId } from '../job/ids.ts';
import type { FieldKeeper } from '../job/status.ts';
import { EDIT_REFUSED, type Intake, planIntake } from '../plan/intake.ts';
import { isClaimed, isOthers, type ObservedStreamJob, specRevisionOf } from '../plan/stream-job.ts';
import type { Note } from '../plan/stream-job-status.ts';
import { ClusterError } from '../ports/cluster.ts';
import type { Log } from '../ports/log.ts';
import type { Fence } from '../ports/shards.ts';
import { type GoalWriter, type HistoryReader, type JobEvent, StaleBaseError, StoreError } from '../ports/store.ts';
import type { StreamJobs } from '../ports/stream-jobs.ts';
import { authorOf, editKey, overruledEvent } from './intake-words.ts';
import { holdsBefore, holdsGoal, isOf, type Seen } from './seen.ts';

/** More steps than these are another turn's. */
const MAX_STEPS = 8;
/** An earlier job's object ends by that job's own turn. */
const EARLIER_OBJECT_MS = 30_000;

export interface IntakeDeps {
  readonly storeId: StoreId;
  readonly store: GoalWriter & Pick<HistoryReader, 'revisionOf'>;
  readonly log: Log;
}

export interface IntakeTurn {
  readonly jobs: StreamJobs;
  readonly goal: Goal;
  /** Asked before every write: null once we no longer own the job's shard. */
  readonly fence: () => Fence | null;
  /** The goal as the store has it now. @throws StoreError */
  readonly reload: () => Promise<Goal | null>;
}

/** What a look at a job's StreamJob has led to. */
export interface TakenIn {
  /** With the edits that were taken in. */
  readonly goal: Goal;
  /** The object as it was looked at or written last, and what it holds; null where that was not come to. */
  readonly seen: Seen | null;
  readonly note: Note | null;
  readonly keepers: readonly FieldKeeper[];
  readonly events: readonly JobEvent[];
  /** What kept a step from being made; the job's cell is looked after all the same. */
  readonly failure: ClusterError | null;
  /** When to look again though nothing is heard; null where a change will tell. */
  readonly againAfterMs: number | null;
}

interface Progress {
  goal: Goal;
  readonly events: JobEvent[];
  readonly bases: Map<Revision, JobContent | null>;
  note: Note | null;
  seen: Seen | null;
  /** An edit that the store has by now, though the goal is another one. */
  stored: Seen | null;
  failure: ClusterError | null;
  againAfterMs: number | null;
}

/** Whether there is more to be done now. */
type Step = 'next' | 'done';

/**
 * Brings one job's StreamJob and its goal together: edits become revisions, a deletion a tombstone, and what was changed
 * elsewhere is written back. Nothing is kept but which edits the store refused, so that they are not tried with each
 * turn.
 */
export class StreamJobIntake {
  readonly #deps: IntakeDeps;
  readonly #refused = new Map<string, { readonly stamp: string; readonly problems: readonly string[] }>();

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  /** Never throws for a fault of the cluster. @throws StoreError */
  async takeIn(turn: IntakeTurn): Promise<TakenIn> {
    const progress: Progress = {
      goal: turn.goal,
      events: [],
      bases: new Map(),
      note: null,
      seen: null,
      stored: null,
      failure: null,
      againAfterMs: null,
    };
    for (let step = 0; step < MAX_STEPS; step += 1) {
      const fence = turn.fence();
      if (!fence || (await this.#step(turn, fence, progress)) === 'done') break;
    }
    const object = turn.jobs.of(turn.goal.job);
    const isOurs = object !== null && !isOthers(object, this.#deps.storeId);
    return { ...progress, keepers: isOurs ? object.keepers : [] };
  }

  async #step(turn: IntakeTurn, fence: Fence, progress: Progress): Promise<Step> {
    const object = turn.jobs.of(progress.goal.job);
    const step = planIntake({
      storeId: this.#deps.storeId,
      goal: progress.goal,
      object,
      definition: turn.jobs.definition,
      isTakenIn: object !== null && isOf(progress.stored, object),
      base: (revision) => (progress.bases.has(revision) ? (progress.bases.get(revision) ?? null) : 'unread'),
    });
    try {
      return await this.#do(step, object, turn, fence, progress);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      // It was read anew: decide again.
      if (error.kind === 'conflict') return 'next';
      progress.failure = error;
      return 'done';
    }
  }

  async #do(
    step: Intake,
    object: ObservedStreamJob | null,
    turn: IntakeTurn,
    fence: Fence,
    progress: Progress,
  ): Promise<Step> {
    const { jobs } = turn;
    if (step.do === 'create') return this.#create(step, jobs, fence, progress);
    if (!object) return 'done';
    switch (step.do) {
      case 'nothing':
        if (isClaimed(object, this.#deps.storeId)) progress.seen = holdsGoal(object, progress.goal);
        return 'done';
      case 'claim':
        await jobs.execute({ do: 'claim', object }, fence);
        return 'next';
      case 'release':
      case 'discard':
        await jobs.execute({ do: step.do, object }, fence);
        this.#refused.delete(object.uid);
        return 'done';
      case 'hearDeletion':
        return this.#hearDeletion(object, turn, fence, progress);
      case 'readBase': {
        const found = (await this.#deps.store.revisionOf(turn.goal.job.id, step.revision))?.content;
        progress.bases.set(step.revision, found?.kind === 'spec' || found?.kind === 'tombstone' ? found : null);
        return 'next';
      }
      case 'submit':
        return this.#submit(step, object, turn, progress);
      case 'writeBack': {
        const stored = await jobs.execute({ do: 'writeSpec', object, spec: step.spec }, fence);
        if (step.overruled.length > 0) progress.events.push(overruledEvent(progress.goal, object, step.overruled));
        return written(stored, progress);
      }
      case 'leave':
        progress.note = { kind: 'kept', keepers: step.keepers };
        progress.seen = isOf(progress.stored, object) ? progress.stored : holdsBefore(object);
        return 'done';
      case 'refuse':
        this.#note(object, step.problems, progress);
        return 'done';
      case 'wait':
        progress.againAfterMs = EARLIER_OBJECT_MS;
        return 'done';
    }
  }

  /** Puts the goal's object where it belongs; a tenant whose namespace was lost gets a bare one. */
  async #create(
    { spec }: Extract<Intake, { do: 'create' }>,
    jobs: StreamJobs,
    fence: Fence,
    progress: Progress,
  ): Promise<Step> {
    const { job } = progress.goal;
    try {
      return written(await jobs.execute({ do: 'create', job, spec }, fence), progress);
    } catch (error) {
      if (!(error instanceof ClusterError) || error.kind !== 'gone') throw error;
      // Either its namespace is not there or its kind.
      if ((await jobs.home(job.tenant)) !== 'namespace missing') throw error;
      await jobs.execute({ do: 'makeNamespace', name: job.tenant }, fence);
      this.#deps.log.info({ namespace: job.tenant }, 'the tenant’s namespace was missing and is made again, bare');
    }
    return 'next';
  }

  /** A deletion is a command, unless it only comes along with that of the kind or of the namespace. */
  async #hearDeletion(object: ObservedStreamJob, turn: IntakeTurn, fence: Fence, progress: Progress): Promise<Step> {
    const { job } = progress.goal;
    const home = await turn.jobs.home(job.tenant);
    if (home !== 'there') {
      this.#deps.log.warn({ job: jobName(job), home }, 'a StreamJob goes with its home; its goal is kept');
      await turn.jobs.execute({ do: 'release', object }, fence);
      return 'done';
    }
    // Seen late, it may be gone by now with a home that was made again since: only under its version is it still that one.
    await turn.jobs.execute({ do: 'claim', object }, fence);
    const author = 'unverified (kubectl delete)';
    // With what it held: a restored etcd may bring it back, and who deletes it then means it anew.
    const idempotencyKey = `kubectl/${object.uid}/deleted/${specRevisionOf(object) ?? 'new'}`;
    const origin = { author, source: 'kubectl', reason: null, idempotencyKey } as const;
    await this.#deps.store.write([{ job, content: { kind: 'tombstone' } }], origin, { fence });
    progress.goal = (await turn.reload()) ?? progress.goal;
    if (progress.goal.layers.job.content.kind === 'tombstone') return 'next';
    // The tombstone was stored before, and the job was wanted again since: its object goes, and comes back.
    const current = turn.jobs.of(job);
    if (current?.uid === object.uid) await turn.jobs.execute({ do: 'release', object: current }, fence);
    return 'done';
  }

  async #submit(
    { spec, base }: Extract<Intake, { do: 'submit' }>,
    found: ObservedStreamJob,
    turn: IntakeTurn,
    progress: Progress,
  ): Promise<Step> {
    const known = this.#refused.get(found.uid);
    if (known?.stamp === stampOf(found, progress.goal)) {
      this.#note(found, known.problems, progress);
      return 'done';
    }
    const isStamped = await turn.jobs.stampsAuthors();
    const fence = turn.fence();
    if (!fence) return 'done';
    // Without a base nothing tells an old view of the object from an edit, but a write under its version does.
    const object = base === null ? ((await turn.jobs.execute({ do: 'claim', object: found }, fence)) ?? found) : found;
    const { job, layers } = progress.goal;
    const content = { kind: 'spec', spec } as const;
    const origin = {
      author: authorOf(object, isStamped),
      source: 'kubectl',
      reason: null,
      idempotencyKey: editKey(object, base, content),
    } as const;
    // As a newcomer's, which it may have been when it was stored: the same change, and so stored once.
    const id = base === null ? parseJobId(object.uid) : null;
    let stored: Revision | null = null;
    try {
      const change = { job, content, base: base ?? layers.job.revision, ...(id && { id }) } as const;
      const [receipt] = await this.#deps.store.write([change], origin, { fence });
      stored = receipt?.revision ?? null;
    } catch (error) {
      if (error instanceof StaleBaseError) {
        progress.goal = (await turn.reload()) ?? progress.goal;
        return 'next';
      }
      if (!(error instanceof StoreError) || error.kind !== 'invalid') throw error;
      this.#refused.set(object.uid, { stamp: stampOf(object, progress.goal), problems: [error.message] });
      this.#note(object, [error.message], progress);
      return 'done';
    }
    this.#refused.delete(object.uid);
    progress.goal = (await turn.reload()) ?? progress.goal;
    if (progress.goal.layers.job.revision === stored) return written(object, progress);
    const { uid, generation } = object;
    progress.stored = { uid, generation, specRevision: stored, specHash: contentHash(content) };
    return 'next';
  }

  #note(object: ObservedStreamJob, problems: readonly string[], progress: Progress): void {
    progress.note = { kind: 'refused', problems };
    progress.seen = holdsBefore(object);
    const ready = object.status?.conditions.find(({ type }) => type === 'Ready');
    if (ready?.reason === EDIT_REFUSED && ready.observedGeneration === object.generation) return;
    const { job, revision } = progress.goal;
    const message = `the edit of generation ${object.generation} is not taken: ${problems.join('; ')}`;
    progress.events.push({ jobId: job.id, revision, type: 'Warning', reason: EDIT_REFUSED, message });
  }
}

/** Whatever the cluster made of what we wrote is the goal's revision, also where an older definition dropped fields. */
function written(object: ObservedStreamJob | null, progress: Progress): Step {
  if (object) progress.seen = holdsGoal(object, progress.goal);
  return 'done';
}

/** What a refusal depends on: the edit, and all that the platform and the other layers say. */
const stampOf = ({ generation }: ObservedStreamJob, { revision, platform }: Goal): string =>
  [generation, revision, platform.all?.revision ?? 0, platform.tenant?.revision ?? 0].join('/');
