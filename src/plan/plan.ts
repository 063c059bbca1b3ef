import { jobName } from '../job/ids.ts';
import type { JobSpec } from '../job/spec.ts';
import type { Action, WaitAction } from './actions.ts';
import { withoutAllocated } from './digest.ts';
import { drift, driftText, newerText } from './drift.ts';
import { ALL_NAMESPACES, foreign, namespaceIn, type PlanInput, wait } from './input.ts';
import { planMove, planRemoval } from './leaving.ts';
import { type CellPlace, isReserved } from './names.ts';
import { type KubeObject, keyText, type ObservedObject, ownership, shortKey } from './objects.ts';
import { goalHash, isAt, type SeenObject, seenAt } from './observation.ts';
import { passesAt, rolloutWait } from './rollout.ts';
import { type Wanted, wantedCell } from './wanted.ts';

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
  const { place, wanted } = wantedCell(storeId, goal, spec);
  const blocked = placeBlock(input, place);
  if (blocked) return [blocked];
  const { writes, blocks } = planObjects(input, wanted);
  const actions = [...writes, ...planPruning(input, place, wanted), ...blocks];
  if (actions.length > 0) return actions;
  const rollout = workersOf(input, wanted)?.rollout;
  if (rollout && !rollout.done) {
    // Deployments and pods are watched: among thousands of new cells, looking again would take more time than making them.
    const until = passesAt(rollout.refused, input.now);
    return [{ do: 'wait', until, reason: 'WorkersStarting', message: rolloutWait(rollout) }];
  }
  const move = planMove(input, place);
  return move.length > 0 ? move : [{ do: 'noop', reason: 'Converged' }];
}

/** The Deployment of the cell, where it is there. */
function workersOf({ observed }: PlanInput, wanted: readonly Wanted[]): SeenObject | undefined {
  const deployment = wanted.find(({ key }) => key.kind === 'Deployment');
  return deployment && seenAt(observed.objects, deployment.key);
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
  const { name } = namespace;
  switch (ownership(namespace, input.storeId, input.goal.job.id)) {
    case 'foreign':
      return foreign(input, namespace);
    case 'other-job':
      return earlierJob(input, `namespace ${name}`);
    case 'ours':
      return namespace.isTerminating
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

/** What is to be done to the objects that are wanted. */
interface Work {
  /** In the order in which they are wanted. */
  readonly writes: Action[];
  readonly blocks: WaitAction[];
  /** Whether the workers show another revision than the goal's, or are not there: then a difference needs no reason. */
  readonly isEdit: boolean;
}

/** In order. Whatever blocks a wall also holds back the workers that would stand behind it. */
function planObjects(input: PlanInput, wanted: readonly Wanted[]): Work {
  const isEdit = workersOf(input, wanted)?.revision !== String(input.goal.revision);
  const work: Work = { writes: [], blocks: [], isEdit };
  for (const one of wanted) {
    if (work.blocks.length > 0 && one.key.kind === 'Deployment') continue;
    planObject(input, one, work);
  }
  return work;
}

/** Adds at most one action for one object, or what blocks it. */
function planObject(input: PlanInput, { object, key, asked }: Wanted, { writes, blocks, isEdit }: Work): void {
  const { goal, observed } = input;
  const found = seenAt(observed.objects, key);
  const block = found && objectBlock(input, found);
  if (block) {
    blocks.push(block);
    return;
  }
  if (!found) {
    const why = `revision ${goal.revision} needs it and it is not there`;
    writes.push({ do: 'create', object, goalHash: goalHash(asked), why });
    return;
  }
  const [hash, foundHash] = [goalHash(asked), goalHash(found)];
  const settled = observed.settled.get(keyText(key));
  const isSame = hash === foundHash || (settled?.goalHash === hash && settled.storedHash === foundHash);
  const isNewer = showsNewer(input, found);
  if (isSame && !isNewer) return;
  const isOlder = isEdit && found.revision !== asked.revision;
  const because =
    isOlder || isNewer ? { why: newerText(found.revision, asked.revision) } : reason(input, object, found);
  writes.push({ do: 'replace', object: replacement(object, found), goalHash: hash, ...because });
}

/** By a hand, by a plan that is ahead of this one, or from before the store was restored. */
const showsNewer = ({ goal }: PlanInput, { revision }: SeenObject): boolean => Number(revision) > goal.revision;

/** Why nothing can be done about an object that is there; null when something can. */
function objectBlock(input: PlanInput, found: SeenObject): WaitAction | null {
  const { goal, storeId } = input;
  switch (ownership(found, storeId, goal.job.id)) {
    case 'foreign':
      return foreign(input, found);
    case 'other-job':
      // In a namespace of its own, whose job is ours, only a hand can have done that.
      return found.namespace === goal.job.tenant
        ? earlierJob(input, `${shortKey(found)} in namespace ${found.namespace}`)
        : foreign(input, found);
    case 'ours':
      return found.isTerminating ? wait(input, 'ObjectTerminating', `${shortKey(found)} is being deleted`) : null;
  }
}

/** Which fields differ only the body tells. */
const reason = (
  { goal }: PlanInput,
  wanted: KubeObject,
  { body }: SeenObject,
): { readonly why: string; readonly unread?: true } =>
  body ? { why: driftText(drift(wanted, body)) } : { why: `it is not as revision ${goal.revision} says`, unread: true };

/**
 * What the goal wants, under the identity of what is there; labels and annotations of others are kept, and so is what can
 * be said only of an object that is made.
 */
function replacement(wanted: KubeObject, { uid, resourceVersion, carried }: SeenObject): ObservedObject {
  const { labels, annotations, ...rest } = carried ?? {};
  return {
    ...withoutAllocated(wanted),
    metadata: {
      ...wanted.metadata,
      labels: { ...labels, ...wanted.metadata.labels },
      annotations: { ...annotations, ...wanted.metadata.annotations },
      ...rest,
      uid,
      resourceVersion,
    },
  };
}

/**
 * Parts of the cell that nothing asks for any more. Judged by revision, so a newer one's stay; the same one's may go, as
 * the platform's defaults change a goal without a revision of the job.
 */
function planPruning(input: PlanInput, place: CellPlace, wanted: readonly Wanted[]): Action[] {
  const { goal, storeId, observed } = input;
  // A namespace of its own is the job's, with all that is in it; among others only our names are.
  const isInPlace = ({ namespace, name }: SeenObject): boolean =>
    namespace === place.namespace && (place.tier === 'namespace' || name === place.name);
  return observed.objects
    .filter((found) => isInPlace(found) && !wanted.some(({ key }) => isAt(key, found)))
    .filter((found) => ownership(found, storeId, goal.job.id) === 'ours' && !found.isTerminating)
    .filter(({ revision }) => revision !== null && Number(revision) <= goal.revision)
    .map(({ kind, namespace, name, uid, resourceVersion }) => ({
      do: 'delete',
      key: { kind, namespace, name },
      uid,
      resourceVersion,
      why: `revision ${goal.revision} has no ${kind} any more`,
    }));
}
