import { effectiveSpec } from '../job/defaults.ts';
import { jobName } from '../job/ids.ts';
import type { JobSpec } from '../job/spec.ts';
import type { Action, WaitAction } from './actions.ts';
import { drift, driftText } from './drift.ts';
import { ALL_NAMESPACES, foreign, namespaceIn, type PlanInput, wait } from './input.ts';
import { planMove, planRemoval } from './leaving.ts';
import { type CellPlace, cellPlace, isReserved } from './names.ts';
import {
  isTerminating,
  type KubeObject,
  keyOf,
  keyText,
  LABEL_PREFIX,
  LABELS,
  type ObservedObject,
  ownership,
  shortKey,
} from './objects.ts';
import { goalHash } from './observation.ts';
import { renderCell } from './render/cell.ts';
import { rolloutWait } from './rollout.ts';

export type { Braked, Capabilities, PlanInput } from './input.ts';

/**
 * The actions that lead from what is to what should be, in order; never empty: `noop` and `wait` say why nothing is
 * done. Synchronous and deterministic. Only a tombstone deletes a cell: an empty observation leads to creates, never to
 * deletes.
 */
export function plan(input: PlanInput): Action[] {
  const { content } = input.goal;
  const unserved = tenantBlock(input);
  if (unserved) return [unserved];
  switch (content.kind) {
    case 'tombstone':
      return planRemoval(input);
    case 'refused': {
      const broken = content.problems.map((p) => `${p.path.join('.')}: found ${p.found}, expected ${p.expected}`);
      return [{ do: 'wait', until: null, reason: content.because, message: broken.join('; ') }];
    }
    case 'spec':
      return planCell(input, content.spec);
  }
}

/** Of a namespace that is out of sight nothing can be said, so nothing is done there, whatever the goal says. */
function tenantBlock(input: PlanInput): WaitAction | null {
  const { namespaces } = input.capabilities ?? ALL_NAMESPACES;
  const { tenant } = input.goal.job;
  if (namespaces === 'all' || namespaces.includes(tenant)) return null;
  const seen = namespaces.length > 0 ? `only ${namespaces.join(', ')}` : 'none';
  const message = `this installation works in namespaces that it was given, and ${tenant} is not among those that it sees (${seen}); give it the rights there and name it with: bulkhead run --namespaces`;
  return wait(input, 'TenantNotServed', message);
}

function planCell(input: PlanInput, spec: JobSpec): Action[] {
  const { storeId, goal } = input;
  const effective = effectiveSpec(spec);
  const place = cellPlace(storeId, goal.job, effective.tier);
  const blocked = placeBlock(input, place);
  if (blocked) return [blocked];
  const wanted = renderCell({ storeId, job: goal.job, revision: goal.revision, spec: effective });
  const actions = [...planObjects(input, wanted), ...planPruning(input, place, wanted)];
  if (actions.length > 0) return actions;
  const rollout = rolloutWait(input.observed, wanted);
  if (rollout) return [wait(input, 'WorkersStarting', rollout)];
  const move = planMove(input, place);
  return move.length > 0 ? move : [{ do: 'noop', reason: 'Converged' }];
}

/** Why nothing can be made in the cell's place now; null when it can. */
const placeBlock = (input: PlanInput, place: CellPlace): WaitAction | null =>
  place.tier === 'namespace' ? (unableBlock(input) ?? namespaceBlock(input, place)) : sharedBlock(place);

function unableBlock({ capabilities }: PlanInput): WaitAction | null {
  if ((capabilities ?? ALL_NAMESPACES).namespaces === 'all') return null;
  const message =
    'this installation may not make namespaces, so no cell gets one of its own; set spec.isolation.tier to shared';
  return { do: 'wait', until: null, reason: 'TierNotAvailable', message };
}

function namespaceBlock(input: PlanInput, place: CellPlace): WaitAction | null {
  const namespace = namespaceIn(input, place.namespace);
  if (!namespace) return null;
  const { name } = namespace.metadata;
  switch (ownership(namespace, input.storeId, input.goal.job.id)) {
    case 'foreign':
      return foreign(input, namespace);
    case 'other-job':
      return earlierJob(input, `namespace ${name}`);
    case 'ours':
      return isTerminating(namespace)
        ? wait(
            input,
            'NamespaceTerminating',
            `namespace ${name} is being deleted; the cell is made again after its end`,
          )
        : null;
  }
}

/** Whether the tenant's namespace is there at all, the first write tells. */
function sharedBlock({ namespace }: CellPlace): WaitAction | null {
  if (!isReserved(namespace)) return null;
  const message = `namespace ${namespace} is no tenant's, so no cell can lie in it; set spec.isolation.tier to namespace`;
  return { do: 'wait', until: null, reason: 'TierNotAvailable', message };
}

const earlierJob = (input: PlanInput, what: string): WaitAction =>
  wait(
    input,
    'OldCellTerminating',
    `${what} still holds the cell of an earlier job ${jobName(input.goal.job)}; if nothing removes it, see: bulkhead orphans`,
  );

/** Creates and replacements in order. Whatever blocks a wall also holds back the workers that would stand behind it. */
function planObjects(input: PlanInput, wanted: readonly KubeObject[]): Action[] {
  const actions: Action[] = [];
  const blocks: WaitAction[] = [];
  for (const object of wanted) {
    const block = blocks.length > 0 && object.kind === 'Deployment' ? 'walls' : planObject(input, object, actions);
    if (block && block !== 'walls') blocks.push(block);
  }
  return [...actions, ...blocks];
}

/** Adds at most one action for one object. @returns what blocks the object, if anything does */
function planObject(input: PlanInput, wanted: KubeObject, actions: Action[]): WaitAction | null {
  const { goal, storeId, observed } = input;
  const key = keyOf(wanted);
  const found = observed.objects.get(keyText(key));
  if (!found) {
    actions.push({
      do: 'create',
      object: wanted,
      goalHash: goalHash(wanted),
      why: `revision ${goal.revision} needs it and it is not there`,
    });
    return null;
  }
  switch (ownership(found, storeId, goal.job.id)) {
    case 'foreign':
      return foreign(input, found);
    case 'other-job':
      // In a namespace of its own, whose job is ours, only a hand can have done that.
      return key.namespace === goal.job.tenant
        ? earlierJob(input, `${shortKey(key)} in namespace ${key.namespace}`)
        : foreign(input, found);
    case 'ours':
      break;
  }
  if (isTerminating(found)) return wait(input, 'ObjectTerminating', `${shortKey(key)} is being deleted`);
  const drifts = drift(wanted, found);
  if (drifts.length === 0) return null;
  const settled = observed.settled.get(keyText(key));
  const hash = goalHash(wanted);
  if (settled?.goalHash === hash && settled.storedHash === goalHash(found)) return null;
  actions.push({ do: 'replace', object: replacement(wanted, found), goalHash: hash, why: driftText(drifts) });
  return null;
}

/** What the goal wants, under the identity of what is there; labels and annotations of others are kept. */
function replacement(wanted: KubeObject, found: ObservedObject): ObservedObject {
  const others = (shared: Readonly<Record<string, string>> | undefined) =>
    Object.fromEntries(Object.entries(shared ?? {}).filter(([key]) => !key.startsWith(LABEL_PREFIX)));
  const { uid, resourceVersion, finalizers, ownerReferences } = found.metadata;
  return {
    ...wanted,
    metadata: {
      ...wanted.metadata,
      labels: { ...others(found.metadata.labels), ...wanted.metadata.labels },
      annotations: { ...others(found.metadata.annotations), ...wanted.metadata.annotations },
      ...(finalizers !== undefined && { finalizers }),
      ...(ownerReferences !== undefined && { ownerReferences }),
      uid,
      resourceVersion,
    },
  };
}

/**
 * Parts of the cell that nothing asks for any more. Judged by revision, so a newer one's stay; the same one's may go, as
 * the platform's defaults change a goal without a revision of the job.
 */
function planPruning(input: PlanInput, place: CellPlace, wanted: readonly KubeObject[]): Action[] {
  const { goal, storeId, observed } = input;
  const kept = new Set(wanted.map((object) => keyText(keyOf(object))));
  // A namespace of its own is the job's, with all that is in it; among others only our names are.
  const isInPlace = ({ metadata: { namespace, name } }: ObservedObject): boolean =>
    namespace === place.namespace && (place.tier === 'namespace' || name === place.name);
  return [...observed.objects.values()]
    .filter((found) => isInPlace(found) && !kept.has(keyText(keyOf(found))))
    .filter((found) => ownership(found, storeId, goal.job.id) === 'ours' && !isTerminating(found))
    .filter((found) => Number(found.metadata.labels?.[LABELS.revision]) <= goal.revision)
    .map((found) => ({
      do: 'delete',
      key: keyOf(found),
      uid: found.metadata.uid,
      resourceVersion: found.metadata.resourceVersion,
      why: `revision ${goal.revision} has no ${found.kind} any more`,
    }));
}
