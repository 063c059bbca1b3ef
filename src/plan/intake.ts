import { canonicalJson, contentHash } from '../job/canonical.ts';
import { checkObject } from '../job/check-object.ts';
import type { Goal, JobContent, JobRevision } from '../job/goal.ts';
import type { Revision, StoreId } from '../job/ids.ts';
import { changedFields, keptAmong, overlap } from '../job/keepers.ts';
import { withQuantitiesAsText } from '../job/object-spec.ts';
import type { JobSpec } from '../job/spec.ts';
import type { FieldKeeper } from '../job/status.ts';
import { isClaimed, isOthers, type ObservedStreamJob, specRevisionOf, statusJob } from './stream-job.ts';

export interface IntakeInput {
  readonly storeId: StoreId;
  readonly goal: Goal;
  /** The StreamJob of the goal's name; null where there is none. */
  readonly object: ObservedStreamJob | null;
  /**
   * Reads what layer `job` said as of the revision that the object's status names. Asked only where the object is
   * neither the goal nor unchanged since it was looked at last; null where the store has no such revision.
   */
  readonly base: (revision: Revision) => JobContent | null | 'unread';
  readonly definition: DefinitionState;
  /** The store has this very edit as a revision already; the goal may have moved on since. */
  readonly isTakenIn?: boolean;
}

/** What the definition in the cluster does to specs. */
export interface DefinitionState {
  /** Fields that it drops, being older than ours: `spec.suspended`; a list's entries as `spec.container.env[].name`. */
  readonly drops: readonly string[];
  /** It has dropped some since we came here: an object may lack fields though nobody took them out. */
  readonly hasDropped: boolean;
}

export const WHOLE_DEFINITION: DefinitionState = { drops: [], hasDropped: false };

/** What is to be done about one StreamJob and its goal, one step at a time. */
export type Intake =
  | { readonly do: 'nothing' }
  /** The goal has no object: it is put back, or put there for the first time. */
  | { readonly do: 'create'; readonly spec: JobSpec }
  | { readonly do: 'claim' }
  | { readonly do: 'release' }
  | { readonly do: 'discard' }
  /** Somebody deletes it. Whether that is a command depends on where it lives, which has to be read now. */
  | { readonly do: 'hearDeletion' }
  /** An edit. Without a base it is one on the head. */
  | { readonly do: 'submit'; readonly spec: JobSpec; readonly base: Revision | null }
  /** The goal was changed elsewhere. `overruled`: fields that were edited here meanwhile, and lose. */
  | { readonly do: 'writeBack'; readonly spec: JobSpec; readonly overruled: readonly string[] }
  /** The goal was changed elsewhere in fields that others keep here: the object stays as it is. */
  | { readonly do: 'leave'; readonly keepers: readonly FieldKeeper[] }
  | { readonly do: 'refuse'; readonly problems: readonly string[] }
  /** What the object was made from has to be read first. */
  | { readonly do: 'readBase'; readonly revision: Revision }
  /** The object of an earlier job of that name has to go first. */
  | { readonly do: 'wait' };

/**
 * Decides the next step for one StreamJob. Pure. Only what is edited here is taken in: an object that is missing, or
 * that shows an earlier revision unchanged, says nothing. Where both were changed, the store wins.
 */
export function planIntake(input: IntakeInput): Intake {
  const { storeId, goal, object } = input;
  const said = goal.layers.job.content;
  if (!object) return said.kind === 'spec' ? { do: 'create', spec: said.spec } : { do: 'nothing' };
  if (isOthers(object, storeId)) return { do: 'nothing' };
  const owner = statusJob(object, storeId);
  if (owner !== null && owner !== goal.job.id) return said.kind === 'spec' ? { do: 'wait' } : { do: 'nothing' };
  if (object.isDeleting) return planDeletion(input, object);
  if (said.kind === 'tombstone') {
    // An object of a restored etcd may be older than the status that would name its job: then its UID does.
    const isJobs = owner === goal.job.id || object.uid === goal.job.id;
    return isJobs ? { do: 'discard' } : { do: 'nothing' };
  }
  if (!isClaimed(object, storeId)) return { do: 'claim' };
  return planEdit(input, object, goal.layers.job, said.spec);
}

function planDeletion({ storeId, goal }: IntakeInput, object: ObservedStreamJob): Intake {
  if (!isClaimed(object, storeId)) return { do: 'nothing' };
  return { do: goal.layers.job.content.kind === 'tombstone' ? 'release' : 'hearDeletion' };
}

/** As a StreamJob can hold them: what differs only in how a quantity is written is the same. */
const same = (a: JobSpec, b: JobSpec): boolean =>
  canonicalJson(withQuantitiesAsText(a)) === canonicalJson(withQuantitiesAsText(b));

function planEdit(input: IntakeInput, object: ObservedStreamJob, head: JobRevision, goal: JobSpec): Intake {
  const { storeId, base, definition } = input;
  const from = baseOf(object, storeId, head);
  const isUntouched = object.status?.observedGeneration === object.generation && !isRefused(object);
  if (from === head.revision && isUntouched && !definition.hasDropped) return { do: 'nothing' };
  const checked = checkObject(object.job, object.spec);
  if (checked.kind === 'wrong') return { do: 'refuse', problems: checked.problems };
  const { spec } = checked;
  if (same(spec, goal)) return { do: 'nothing' };
  const lost = droppedIn(definition, spec, goal);
  if (from === head.revision && isUntouched) {
    return lost.length > 0 ? { do: 'nothing' } : { do: 'writeBack', spec: goal, overruled: [] };
  }
  if (lost.length > 0) return { do: 'refuse', problems: [droppedText(lost)] };
  if (input.isTakenIn) return follow(object, head, spec, goal);
  if (from === null) {
    // Nobody else has a part in it, so Bulkhead put it there, and did not come to say so; or an older definition in the
    // cluster dropped fields of it. That is no edit.
    const isOurs = object.keepers.length === 0;
    return isOurs ? { do: 'writeBack', spec: goal, overruled: [] } : { do: 'submit', spec, base: null };
  }
  if (from === head.revision) return { do: 'submit', spec, base: from };
  if (from !== 'unknown') {
    const before = base(from);
    if (before === 'unread') return { do: 'readBase', revision: from };
    if (before?.kind === 'spec' && isHashed(object, before)) {
      const edited = changedFields(before.spec, spec);
      if (edited.length > 0) return { do: 'writeBack', spec: goal, overruled: edited };
      return follow(object, head, spec, goal);
    }
  }
  // The store does not have what the object was made from: it is an older copy. What nobody has touched since is no
  // edit, and the store is never made again from it; an edit since then is one on the head.
  return isUntouched
    ? { do: 'writeBack', spec: goal, overruled: changedFields(spec, goal) }
    : { do: 'submit', spec, base: null };
}

/** Nothing was edited here, and the goal has moved on. */
function follow({ keepers: all }: ObservedStreamJob, head: JobRevision, spec: JobSpec, goal: JobSpec): Intake {
  const keepers = mayBeWrittenOver(head) ? [] : keptAmong(all, changedFields(spec, goal));
  return keepers.length > 0 ? { do: 'leave', keepers } : { do: 'writeBack', spec: goal, overruled: [] };
}

/** Whether the status names this very content; a status without a hash takes the number's word. */
const isHashed = ({ status }: ObservedStreamJob, content: JobContent): boolean =>
  status?.specHash === undefined || status.specHash === contentHash(content);

/** The revision that the object was made from; `unknown`: its number means another content by now. */
function baseOf(object: ObservedStreamJob, storeId: StoreId, head: JobRevision): Revision | 'unknown' | null {
  const from = statusJob(object, storeId) === null ? null : specRevisionOf(object);
  if (from === null || from !== head.revision) return from;
  const { specHash } = object.status ?? {};
  return specHash === undefined || specHash === head.contentHash ? from : 'unknown';
}

/** Fields that the goal has and the object lacks, and that the definition in the cluster would drop of any edit. */
function droppedIn({ drops }: DefinitionState, spec: JobSpec, goal: JobSpec): string[] {
  if (drops.length === 0) return [];
  const dropped = drops.map((path) => path.replace(/^spec\.?/, '').replace(/(\[\]|:).*$/, ''));
  return changedFields(spec, goal).filter((field) => dropped.some((path) => overlap(path, field)));
}

const droppedText = (fields: readonly string[]): string =>
  `the CustomResourceDefinition in the cluster is older than the operator and drops ${fields.map((f) => `spec.${f}`).join(', ')}, which the goal has; apply the newer one (kubectl apply --server-side -f install.yaml), then edit again`;

/** What came in by kubectl is put back whoever keeps the fields: they said it themselves, before the object was lost. */
const mayBeWrittenOver = (head: JobRevision): boolean => head.takeOver === true || head.source === 'kubectl';

export const EDIT_REFUSED = 'EditRefused';

/** An edit that was refused is looked at again with each turn: what refused it may have changed since. */
export const isRefused = ({ status }: ObservedStreamJob): boolean =>
  status?.conditions.some(({ type, reason }) => type === 'Ready' && reason === EDIT_REFUSED) ?? false;
