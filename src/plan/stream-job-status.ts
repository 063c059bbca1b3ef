import { canonicalJson } from '../job/canonical.ts';
import type { Goal } from '../job/goal.ts';
import type { Revision, StoreId } from '../job/ids.ts';
import type { Condition, FieldKeeper, JobStatus } from '../job/status.ts';
import { EDIT_REFUSED } from './intake.ts';
import { LABELS } from './objects.ts';
import type { ObservedStreamJob, StreamJobCondition, StreamJobStatus } from './stream-job.ts';

/** What the object itself gives reason to say, beside the state of its job. */
export type Note =
  /** The edit is not taken; whatever the goal was before goes on. */
  | { readonly kind: 'refused'; readonly problems: readonly string[] }
  /** The goal was changed elsewhere, and others keep those fields here. */
  | { readonly kind: 'kept'; readonly keepers: readonly FieldKeeper[] };

/** Which state of the object the status speaks of, and what its spec held then. */
export interface Basis {
  readonly generation: number;
  /** The revision of layer `job` that the spec held; null where it held none. */
  readonly specRevision: Revision | null;
  readonly specHash: string | null;
}

export interface PublishedInput {
  readonly storeId: StoreId;
  readonly object: ObservedStreamJob;
  /** null while the object has led to no goal. */
  readonly job: { readonly goal: Goal; readonly status: JobStatus } | null;
  readonly basis: Basis;
  readonly note: Note | null;
  /** The fence's mark that the write is made under. */
  readonly writtenBy: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

const keepersText = (keepers: readonly FieldKeeper[]): string =>
  keepers.map(({ manager, fields }) => `${manager} keeps ${fields.map((f) => `spec.${f}`).join(', ')}`).join('; ');

const refusedMessage = (problems: readonly string[], goal: Goal | null): string => {
  const rest = goal ? `revision ${goal.revision} goes on unchanged` : 'there is no job yet';
  return `this spec is not taken, and ${rest}: ${problems.join('; ')}; mend it and apply it again`;
};

function keptMessage(keepers: readonly FieldKeeper[], goal: Goal): string {
  const { revision, author, source } = goal.layers.job;
  return `the goal is revision ${revision} (${author}, by ${source}), which is not written here, since ${keepersText(keepers)}`;
}

type Said = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

function conditionsOf({ job, note }: PublishedInput): Said[] {
  if (note?.kind === 'refused') {
    const said = { reason: EDIT_REFUSED, message: refusedMessage(note.problems, job?.goal ?? null) };
    return [
      { type: 'Ready', status: 'False', ...said },
      { type: 'Stalled', status: 'True', ...said },
    ];
  }
  if (!job) {
    const said = { reason: 'Accepted', message: 'the goal is stored; its cell is made next' };
    return [
      { type: 'Ready', status: 'Unknown', ...said },
      { type: 'Reconciling', status: 'True', ...said },
    ];
  }
  return job.status.conditions.map(({ type, status, reason, message }) => {
    const more = note && type === 'Ready' ? `; ${keptMessage(note.keepers, job.goal)}` : '';
    return { type, status, reason, message: `${message}${more}` };
  });
}

/** A condition keeps its time while its status stays. */
function dated(said: Said, { object, job, basis, now }: PublishedInput): StreamJobCondition {
  const isSame = (it: Condition) => it.type === said.type && it.status === said.status;
  const known = object.status?.conditions.find(isSame) ?? job?.status.conditions.find(isSame);
  const lastTransitionTime = known?.lastTransitionTime ?? new Date(now).toISOString();
  return { ...said, lastTransitionTime: seconds(lastTransitionTime), observedGeneration: basis.generation };
}

/** The API's times have whole seconds. */
const seconds = (iso: string): string => iso.replace(/\.\d+Z$/, 'Z');

/** What a StreamJob's status should say. Pure; the same input gives the same, but for when a condition came to be. */
export function streamJobStatus(input: PublishedInput): StreamJobStatus {
  const { storeId, job, basis, writtenBy } = input;
  const { desired = 0, ready = 0, restarts = 0 } = job?.status.workers ?? {};
  return {
    observedGeneration: basis.generation,
    storeId,
    ...(job && {
      jobId: job.goal.job.id,
      revision: job.goal.revision,
      selector: `${LABELS.jobId}=${job.goal.job.id}`,
      cell: job.status.cell,
      ...(job.status.tier && { tier: job.status.tier }),
    }),
    ...(basis.specRevision !== null && { specRevision: basis.specRevision }),
    ...(basis.specHash !== null && { specHash: basis.specHash }),
    phase: job?.status.phase ?? (input.note ? 'Waiting' : 'Pending'),
    workers: `${ready}/${desired}`,
    replicas: desired,
    readyReplicas: ready,
    restarts,
    conditions: conditionsOf(input).map((said) => dated(said, input)),
    writtenBy,
  };
}

/** Whether two statuses say the same, whoever wrote them. */
export function saysTheSame(a: StreamJobStatus, b: StreamJobStatus | null): boolean {
  return b !== null && canonicalJson({ ...a, writtenBy: '' }) === canonicalJson({ ...b, writtenBy: '' });
}
