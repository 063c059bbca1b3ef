import { randomUUID } from 'node:crypto';
import { contentHash } from '../job/canonical.ts';
import {
  type GoalProblem,
  type JobLayers,
  type JobRevision,
  type Layer,
  type LayerContent,
  layerOf,
} from '../job/goal.ts';
import { type JobId, type JobName, jobId, jobName, revision } from '../job/ids.ts';
import { effectiveGoal } from '../job/layers.ts';
import { formatPath } from '../job/problem.ts';
import {
  type Base,
  type ChangeOrigin,
  type GoalChange,
  type GoalReceipt,
  StaleBaseError,
  StoreError,
} from '../ports/store.ts';
import { inForce, platformOf, type StoredGoals, type StoredJob } from './goals.ts';

/** What each change of a write means for its job, as the job stands: pure, but for the ids of new jobs. */

/** What to answer about one change, and the revision to be stored where there is one. */
export interface Step {
  readonly change: GoalChange;
  readonly layer: Layer;
  readonly contentHash: string;
  readonly receipt: GoalReceipt;
}

export type StoredStep = Step & { readonly receipt: { readonly id: JobId; readonly revision: number } };

const STORED: ReadonlySet<GoalReceipt['outcome']> = new Set(['created', 'configured', 'removed', 'restored']);

export const isStored = (step: Step): step is StoredStep => STORED.has(step.receipt.outcome);

/** @throws StoreError `conflict` */
export function refuseDoubles(changes: readonly GoalChange[]): void {
  const names = new Set<string>();
  const ids = new Set<JobId>();
  for (const { job, id } of changes) {
    const name = jobName(job);
    if (names.has(name)) throw new StoreError('conflict', `${name} is named twice in one change: name it once.`);
    if (id !== undefined && ids.has(id)) {
      throw new StoreError(
        'conflict',
        `The id ${id} is given to two jobs in one change, ${name} among them: give each its own.`,
      );
    }
    names.add(name);
    if (id !== undefined) ids.add(id);
  }
}

/**
 * @param givenIds ids of the changes that some job has or had, with its name
 * @throws StoreError `conflict` when a new job is to have one of them
 */
export function requireNewId({ change, receipt }: Step, givenIds: ReadonlyMap<JobId, JobName>): void {
  const holder = receipt.outcome === 'created' && receipt.id !== null ? givenIds.get(receipt.id) : undefined;
  if (holder === undefined) return;
  throw new StoreError(
    'conflict',
    `${jobName(change.job)} cannot have the id ${receipt.id}: it was given to ${jobName(holder)}, and an id is never used ` +
      'again, also when its job was removed. Leave the id out for a new one; a StreamJob has a new one once it was ' +
      'deleted and made again.',
  );
}

const isRemoved = (stored: StoredJob): boolean => stored.newest.job.content.kind === 'tombstone';

/** What a layer has now: null where it has nothing, also since that was ended. */
function currentOf(stored: StoredJob | undefined, layer: Layer): JobRevision | null {
  const newest = stored?.newest[layer] ?? null;
  return newest === null || newest.content.kind === 'tombstone' || newest.content.kind === 'cleared' ? null : newest;
}

const LAYER_WORDS: Readonly<Record<Layer, string>> = {
  job: '',
  scaler: 'The scaler layer of ',
  oncall: 'The on-call layer of ',
};

const by = ({ author, createdAt, revision: at, reason }: JobRevision): string =>
  `by ${author} at ${createdAt.toISOString()} (revision ${at}${reason === null ? '' : `, ${JSON.stringify(reason)}`})`;

function staleSentence(job: JobName, layer: Layer, base: Base, newest: JobRevision | null): string {
  const what = `${LAYER_WORDS[layer]}${jobName(job)}`;
  const made =
    base === 'none' ? 'this change was made for one that is not there' : `this change was made from revision ${base}`;
  if (newest === null) return `${what} is not there, but ${made}: look again, and make the change anew.`;
  const verb =
    newest.content.kind === 'tombstone' ? 'removed' : newest.content.kind === 'cleared' ? 'ended' : 'changed';
  return (
    `${what} was ${verb} ${by(newest)}, but ${made}: compare both, ` +
    `then make the change again from revision ${newest.revision}.`
  );
}

/** @throws StaleBaseError when the change was not made from what is there */
function requireBase({ job: { tenant, name }, content, base }: GoalChange, layer: Layer, stored?: StoredJob): void {
  if (base === undefined) return;
  const newest = stored?.newest[layer] ?? null;
  const current = currentOf(stored, layer);
  if (base === 'none' ? current === null : newest?.revision === base) return;
  const job = { tenant, name };
  throw new StaleBaseError(staleSentence(job, layer, base, newest), { job, layer, base, current, wanted: content });
}

/**
 * @param stored the job of that name; a removed one only within its retention time; undefined: there is none
 * @throws StaleBaseError; StoreError `invalid`
 */
export function decide(change: GoalChange, stored: StoredJob | undefined): Step {
  const { content, base, id: givenId, takeOver } = change;
  const job = { tenant: change.job.tenant, name: change.job.name };
  const layer = layerOf(content);
  const hash = contentHash(content);
  const step = (outcome: GoalReceipt['outcome'], id: JobId | null, at: number | null): Step => ({
    change: { job, content, ...(base === undefined ? {} : { base }), ...(takeOver && { takeOver }) },
    layer,
    contentHash: hash,
    receipt: { job, id, revision: at === null ? null : revision(at), outcome },
  });
  if (layer !== 'job' && (stored === undefined || isRemoved(stored))) {
    const remedy = stored === undefined ? 'apply it first' : 'it was removed; bring it back first';
    throw new StoreError('invalid', `There is no job ${jobName(job)}: ${remedy}.`);
  }
  requireBase(change, layer, stored);
  if (stored === undefined) {
    return content.kind === 'tombstone'
      ? step('absent', null, null)
      : step('created', givenId ?? jobId(randomUUID()), 1);
  }
  const next = stored.head + 1;
  if (isRemoved(stored)) {
    return content.kind === 'tombstone' ? step('absent', null, null) : step('restored', stored.job.id, next);
  }
  if (content.kind === 'tombstone') return step('removed', stored.job.id, next);
  const newest = stored.newest[layer];
  const same = newest === null ? content.kind === 'cleared' : newest.contentHash === hash;
  return same ? step('unchanged', stored.job.id, stored.head) : step('configured', stored.job.id, next);
}

/** What the job would be made of; null for a layer above a job that is not there. */
function layersAfter(
  content: SaidContent,
  step: StoredStep,
  stored: StoredJob | undefined,
  origin: ChangeOrigin,
): JobLayers | null {
  const made = {
    revision: step.receipt.revision,
    contentHash: step.contentHash,
    author: origin.author,
    source: origin.source,
    reason: origin.reason,
    idempotencyKey: origin.idempotencyKey ?? null,
    createdAt: new Date(),
  };
  const scaler = inForce(stored?.newest.scaler ?? null);
  const oncall = inForce(stored?.newest.oncall ?? null);
  if (content.kind === 'spec') return { job: { ...made, content }, scaler, oncall };
  if (stored === undefined) return null;
  return { job: stored.newest.job, scaler, oncall, [content.layer]: { ...made, content } };
}

const problemText = ({ path, found, expected }: GoalProblem): string =>
  `${formatPath(path)} is ${found}, expected ${expected}`;

/** What says something, and does not just take away what was said. */
type SaidContent = Extract<LayerContent, { readonly kind: 'spec' | 'patch' }>;

function requireHolds(
  content: SaidContent,
  step: StoredStep,
  stored: StoredJob | undefined,
  goals: StoredGoals,
  origin: ChangeOrigin,
): void {
  const layers = layersAfter(content, step, stored, origin);
  if (layers === null) return;
  const { job } = step.change;
  const goal = effectiveGoal(layers, platformOf(job.tenant, goals.platforms));
  if (goal.kind !== 'refused') return;
  const what = goal.because === 'LimitExceeded' ? 'exceed what platform.limits allow' : 'be no valid job';
  throw new StoreError(
    'invalid',
    `${jobName(job)} would ${what} with this change: ${goal.problems.map(problemText).join('; ')}.`,
  );
}

/** By the clock that ends it: the writer's may be off by hours. */
function requireToCome(job: JobName, content: SaidContent, now: Date): void {
  if (content.kind !== 'patch' || content.layer !== 'oncall' || content.until === null || content.until > now) return;
  throw new StoreError(
    'invalid',
    `The override of ${jobName(job)} would end at ${content.until.toISOString()}, which is past: ` +
      `by the clock of the database it is ${now.toISOString()}. Name a later time.`,
  );
}

/**
 * What ends a layer or removes a job is never refused: the rest may have come to break a limit long ago, and whoever
 * takes something away must not have to mend that first.
 * @param now by the database's clock
 * @throws StoreError `invalid` when the merged goal of the job would break a rule or a limit, or for an end that is past
 */
export function requireValid(
  step: StoredStep,
  stored: StoredJob | undefined,
  goals: StoredGoals,
  origin: ChangeOrigin,
  now: Date,
): void {
  const { content, job } = step.change;
  if (content.kind === 'cleared' || content.kind === 'tombstone') return;
  requireToCome(job, content, now);
  requireHolds(content, step, stored, goals, origin);
}
