import { effectiveSpec } from '../job/defaults.ts';
import type { Goal } from '../job/goal.ts';
import { jobName, type StoreId } from '../job/ids.ts';
import type { JobSpec } from '../job/spec.ts';
import type { Action, WaitAction, WaitReason } from './actions.ts';
import { drift, driftText } from './drift.ts';
import { cellNamespace } from './names.ts';
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
import { type CellObservation, goalHash } from './observation.ts';
import { renderCell } from './render/cell.ts';
import { rolloutWait } from './rollout.ts';

/** How long to wait before looking again where nothing has to be heard in between. */
const LOOK_AGAIN_MS = 30_000;

export interface PlanInput {
  readonly storeId: StoreId;
  readonly goal: Goal;
  readonly observed: CellObservation;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** What the brake answered to the removal that this plan came to before; left out while it has not been asked. */
  readonly braked?: Braked;
}

/** The brake holds a removal back. */
export interface Braked {
  /** Milliseconds since 1970 at which to ask again. */
  readonly until: number;
  /** Removals that one window allows. */
  readonly budget: number;
}

/**
 * The actions that lead from what is to what should be, in order; never empty: `noop` and `wait` say why nothing is
 * done. Synchronous and deterministic. Only a tombstone deletes a cell: an empty observation leads to creates, never to
 * deletes.
 */
export function plan(input: PlanInput): Action[] {
  const { content } = input.goal;
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

const wait = (input: PlanInput, reason: WaitReason, message: string): WaitAction => ({
  do: 'wait',
  until: input.now + LOOK_AGAIN_MS,
  reason,
  message,
});

const cellName = ({ storeId, goal }: PlanInput): string => cellNamespace(storeId, goal.job);

const namespaceOf = (input: PlanInput): ObservedObject | undefined =>
  input.observed.objects.get(keyText({ kind: 'Namespace', namespace: '', name: cellName(input) }));

function planRemoval(input: PlanInput): Action[] {
  const { goal, storeId } = input;
  const namespace = namespaceOf(input);
  if (!namespace || ownership(namespace, storeId, goal.job.id) !== 'ours') return planLeftovers(input, namespace);
  if (isTerminating(namespace)) {
    return [wait(input, 'CellTerminating', `namespace ${namespace.metadata.name} is being deleted by Kubernetes`)];
  }
  if (input.braked) return [brakedWait(input.braked)];
  return [
    {
      do: 'delete',
      key: keyOf(namespace),
      uid: namespace.metadata.uid,
      resourceVersion: null,
      why: `revision ${goal.revision} removes the job`,
    },
  ];
}

const brakedWait = ({ until, budget }: Braked): WaitAction => ({
  do: 'wait',
  until,
  reason: 'Braked',
  message: `more cells are being removed than the brake lets go (${budget} in ten minutes), so this one waits and its workers run on; if it is meant: bulkhead brake release --reason …`,
});

/** The namespace is gone or not ours: the job is gone too, unless something of it is still to be seen. */
function planLeftovers(input: PlanInput, namespace: ObservedObject | undefined): Action[] {
  const { goal, storeId, observed } = input;
  const ours = (object: ObservedObject) => ownership(object, storeId, goal.job.id) === 'ours';
  const rest = [...observed.objects.values()].find(ours);
  if (!rest) return [{ do: 'noop', reason: 'Gone' }];
  if (namespace) return [foreign(input, namespace)];
  return [wait(input, 'CellTerminating', `${shortKey(keyOf(rest))} is still to be seen in the cell that was removed`)];
}

function planCell(input: PlanInput, spec: JobSpec): Action[] {
  const blocked = namespaceBlock(input);
  if (blocked) return [blocked];
  const { storeId, goal } = input;
  const wanted = renderCell({ storeId, job: goal.job, revision: goal.revision, spec: effectiveSpec(spec) });
  const actions = [...planObjects(input, wanted), ...planPruning(input, wanted)];
  if (actions.length > 0) return actions;
  const rollout = rolloutWait(input.observed, wanted);
  return rollout ? [wait(input, 'WorkersStarting', rollout)] : [{ do: 'noop', reason: 'Converged' }];
}

/** Why nothing can be made in the cell's namespace now; null when it can. */
function namespaceBlock(input: PlanInput): WaitAction | null {
  const namespace = namespaceOf(input);
  if (!namespace) return null;
  const { name } = namespace.metadata;
  switch (ownership(namespace, input.storeId, input.goal.job.id)) {
    case 'foreign':
      return foreign(input, namespace);
    case 'other-job':
      return wait(
        input,
        'OldCellTerminating',
        `namespace ${name} still holds the cell of an earlier job ${jobName(input.goal.job)}; if nothing removes it, see: bulkhead orphans`,
      );
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

function foreign(input: PlanInput, found: ObservedObject): WaitAction {
  const where = found.metadata.namespace ? ` in namespace ${found.metadata.namespace}` : '';
  return wait(
    input,
    'ForeignObject',
    `${shortKey(keyOf(found))}${where} is not Bulkhead's and is left alone; delete or rename it, and the job goes on`,
  );
}

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
  if (ownership(found, storeId, goal.job.id) !== 'ours') return foreign(input, found);
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
function planPruning(input: PlanInput, wanted: readonly KubeObject[]): Action[] {
  const { goal, storeId, observed } = input;
  const kept = new Set(wanted.map((object) => keyText(keyOf(object))));
  const namespace = cellName(input);
  return [...observed.objects.values()]
    .filter((found) => found.metadata.namespace === namespace && !kept.has(keyText(keyOf(found))))
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
