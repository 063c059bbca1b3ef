import { createTwoFilesPatch, FILE_HEADERS_ONLY } from 'diff';
import { effectiveSpec } from '../job/defaults.ts';
import { toYaml } from '../job/document.ts';
import type { Goal } from '../job/goal.ts';
import { type JobName, jobId, jobName, type Revision, revision, type StoreId } from '../job/ids.ts';
import { printable } from '../job/problem.ts';
import type { JobSpec } from '../job/spec.ts';
import { type Drift, drift } from '../plan/drift.ts';
import { cellNamespace } from '../plan/names.ts';
import { type KubeObject, keyOf, keyText, LABELS, type ObjectKey, shortKey } from '../plan/objects.ts';
import { renderCell } from '../plan/render/cell.ts';

/** What a file would change: in the goal, and then in the cell. Pure. */

/** Stands for the id that a job gets when it is made; it occurs in labels only. */
const ID_TO_COME = jobId('00000000-0000-4000-8000-000000000000');
const CONTEXT_LINES = 3;
const MAX_VALUE = 80;
const REVISION_PATH = `metadata.labels[${LABELS.revision}]`;

export interface JobChange {
  readonly storeId: StoreId;
  readonly name: JobName;
  readonly spec: JobSpec;
  /** Where the new spec comes from. */
  readonly file: string;
  /** The goal in the store; null for a job that is not there. */
  readonly stored: Goal | null;
}

export interface ObjectChange {
  readonly do: 'create' | 'replace' | 'delete';
  readonly key: ObjectKey;
  /** What differs, without the revision's number. */
  readonly drifts: readonly Drift[];
}

const storedSpec = ({ stored }: JobChange): JobSpec | null =>
  stored?.content.kind === 'spec' ? stored.content.spec : null;

/** The specs as YAML, as a unified diff; empty when they are equal. */
export function specDiff(change: JobChange): string {
  const { name, spec, file, stored } = change;
  const before = storedSpec(change);
  const [oldText, newText] = [before ? toYaml({ ...name, spec: before }) : '', toYaml({ ...name, spec })];
  if (oldText === newText) return '';
  const oldName = before && stored ? `${jobName(name)} (revision ${stored.revision})` : '/dev/null';
  return createTwoFilesPatch(oldName, `${jobName(name)} (${printable(file)})`, oldText, newText, undefined, undefined, {
    context: CONTEXT_LINES,
    headerOptions: FILE_HEADERS_ONLY,
  });
}

function render(change: JobChange, spec: JobSpec, at: Revision): KubeObject[] {
  const job = { ...change.name, id: change.stored?.job.id ?? ID_TO_COME };
  return renderCell({ storeId: change.storeId, job, revision: at, spec: effectiveSpec(spec) });
}

/** What happens to each object of a cell that is as its stored goal says, in the order in which it is done. */
export function objectChanges(change: JobChange): ObjectChange[] {
  const before = storedSpec(change);
  const at = change.stored?.revision ?? 0;
  const old = before && change.stored ? render(change, before, change.stored.revision) : [];
  const wanted = render(change, change.spec, revision(at + 1));
  const oldByKey = new Map(old.map((object) => [keyText(keyOf(object)), object]));
  const kept = new Set(wanted.map((object) => keyText(keyOf(object))));
  const written = wanted.map((object): ObjectChange => {
    const found = oldByKey.get(keyText(keyOf(object)));
    if (!found) return { do: 'create', key: keyOf(object), drifts: [] };
    const drifts = drift(object, found).filter(({ path }) => path !== REVISION_PATH);
    return { do: 'replace', key: keyOf(object), drifts };
  });
  const pruned = old.filter((object) => !kept.has(keyText(keyOf(object))));
  return [...written, ...pruned.map((object): ObjectChange => ({ do: 'delete', key: keyOf(object), drifts: [] }))];
}

const short = (value: string): string => {
  const text = printable(value);
  return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text;
};

const driftLine = ({ path, found, wanted }: Drift): string => `#     ${path}: ${short(found)} -> ${short(wanted)}\n`;

/** What a change of the Deployment means for the workers that run. */
function workersNote(key: ObjectKey, drifts: readonly Drift[]): string {
  if (key.kind !== 'Deployment') return '';
  if (drifts.some(({ path, wanted }) => path === 'spec.replicas' && wanted === '0')) return ' (its workers end)';
  const rolls = drifts.some(({ path }) => path.startsWith('spec.template'));
  return rolls ? ' (its workers are replaced one after the other)' : '';
}

function changeLines({ do: verb, key, drifts }: ObjectChange): string {
  return `#   ${verb} ${shortKey(key)}${workersNote(key, drifts)}\n${drifts.map(driftLine).join('')}`;
}

/** The actions under a diff, as comment lines, so that the whole remains a patch. */
export function actionText(change: JobChange): string {
  const changes = objectChanges(change);
  const isOnlyNumber = (it: ObjectChange) => it.do === 'replace' && it.drifts.length === 0;
  const told = changes.filter((it) => !isOnlyNumber(it));
  const silent = changes.length - told.length;
  const rest =
    silent > 0 ? `#   replace ${silent} ${silent === 1 ? 'object' : 'objects'}: only the number of the revision\n` : '';
  return `# in namespace ${cellNamespace(change.storeId, change.name)}:\n${told.map(changeLines).join('')}${rest}`;
}
