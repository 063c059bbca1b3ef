import { canonicalJson } from '../job/canonical.ts';
import { type Goal, type JobLayers, type JobRevision, layerOf, type PlatformLayers } from '../job/goal.ts';
import { jobId, revision } from '../job/ids.ts';
import { effectiveGoal } from '../job/layers.ts';
import type { ChangeOrigin, GoalChange, GoalReceipt } from '../ports/store.ts';

/** What a change would make of a goal, without the store. Pure. */

/** Stands for the id that a job gets when it is made; it occurs in labels only. */
export const ID_TO_COME = jobId('00000000-0000-4000-8000-000000000000');

export const NO_PLATFORM: PlatformLayers = { all: null, tenant: null };

/** What the store would answer, as things stand. @param goal null where there is no such job */
export function foresee(goal: Goal | null, { job, content }: GoalChange): GoalReceipt {
  const name = { tenant: job.tenant, name: job.name };
  if (!goal) {
    return content.kind === 'tombstone'
      ? { job: name, id: null, revision: null, outcome: 'absent' }
      : { job: name, id: null, revision: revision(1), outcome: 'created' };
  }
  const isRemoved = goal.layers.job.content.kind === 'tombstone';
  if (isRemoved && content.kind === 'tombstone') return { job: name, id: null, revision: null, outcome: 'absent' };
  const before = goal.layers[layerOf(content)]?.content ?? { kind: 'cleared', layer: layerOf(content) };
  const { id } = goal.job;
  if (canonicalJson(before) === canonicalJson(content)) {
    return { job: name, id, revision: goal.revision, outcome: 'unchanged' };
  }
  const next = revision(goal.revision + 1);
  if (content.kind === 'tombstone') return { job: name, id, revision: next, outcome: 'removed' };
  return { job: name, id, revision: next, outcome: isRemoved && content.kind === 'spec' ? 'restored' : 'configured' };
}

function layersAfter(goal: Goal | null, written: JobRevision): JobLayers | null {
  const { content } = written;
  if (content.kind === 'spec' || content.kind === 'tombstone') {
    return { scaler: null, oncall: null, ...goal?.layers, job: { ...written, content } };
  }
  return goal && { ...goal.layers, [content.layer]: content.kind === 'cleared' ? null : { ...written, content } };
}

/**
 * The goal as it would be after a change.
 * @param goal as it is; null where there is no such job
 * @param receipt what the store (or {@link foresee}) answers to the change
 * @param platform for a job that is not there yet
 * @returns null for a layer of a job that is not there
 */
export function goalAfter(
  goal: Goal | null,
  change: GoalChange,
  receipt: GoalReceipt,
  origin: ChangeOrigin,
  platform: PlatformLayers,
): Goal | null {
  const at = receipt.revision ?? revision(1);
  const written: JobRevision = {
    ...origin,
    idempotencyKey: origin.idempotencyKey ?? null,
    createdAt: new Date(),
    revision: at,
    content: change.content,
    contentHash: '',
  };
  const layers = layersAfter(goal, written);
  if (!layers) return null;
  const job = goal?.job ?? { tenant: change.job.tenant, name: change.job.name, id: receipt.id ?? ID_TO_COME };
  const around = goal?.platform ?? platform;
  return { job, revision: at, layers, platform: around, content: effectiveGoal(layers, around) };
}
