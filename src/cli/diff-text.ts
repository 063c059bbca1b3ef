import { effectiveSpec, tierOf } from '../job/defaults.ts';
import { toYaml } from '../job/document.ts';
import type { Goal, GoalContent, PlatformLayers } from '../job/goal.ts';
import { type JobName, jobName, type Revision, revision, type StoreId } from '../job/ids.ts';
import { printable } from '../job/problem.ts';
import type { JobSpec } from '../job/spec.ts';
import { type Drift, drift } from '../plan/drift.ts';
import { cellPlace } from '../plan/names.ts';
import { type KubeObject, keyOf, keyText, LABELS, type ObjectKey, shortKey } from '../plan/objects.ts';
import { renderCell } from '../plan/render/cell.ts';
import { NOTHING, unifiedDiff } from './content-text.ts';
import { specPath } from './field-changes.ts';
import { foresee, goalAfter, ID_TO_COME } from './foresight.ts';

/** What a file would change: in the goal, and then in the cell. Pure. */

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
  /** What the platform says about the job. */
  readonly platform: PlatformLayers;
}

export interface ObjectChange {
  readonly do: 'create' | 'replace' | 'delete';
  readonly key: ObjectKey;
  /** What differs, without the revision's number. */
  readonly drifts: readonly Drift[];
}

/** What the job's own layer says against what the file says, as a unified diff; empty when they are equal. */
export function specDiff({ name, spec, file, stored }: JobChange): string {
  const layer = stored?.layers.job;
  const before = layer?.content.kind === 'spec' ? layer.content.spec : null;
  return unifiedDiff(
    {
      name: before && layer ? `${jobName(name)} (revision ${layer.revision})` : NOTHING,
      text: before ? toYaml({ ...name, spec: before }) : '',
    },
    { name: `${jobName(name)} (${file})`, text: toYaml({ ...name, spec }) },
  );
}

/** What all layers say once the file's spec is in layer `job`. */
function contentAfter({ name, spec, stored, platform }: JobChange): GoalContent {
  const change = { job: name, content: { kind: 'spec', spec } } as const;
  const nobody = { author: '', source: 'cli', reason: null } as const;
  const after = goalAfter(stored, change, foresee(stored, change), nobody, platform);
  return after?.content ?? change.content;
}

function render(change: JobChange, spec: JobSpec, at: Revision): KubeObject[] {
  const job = { ...change.name, id: change.stored?.job.id ?? ID_TO_COME };
  return renderCell({ storeId: change.storeId, job, revision: at, spec: effectiveSpec(spec) });
}

/**
 * What happens to each object of a cell that is as its stored goal says, in the order in which it is done.
 * @param spec the merged goal that is to be
 */
export function objectChanges(change: JobChange, spec: JobSpec): ObjectChange[] {
  const { stored } = change;
  const old = stored?.content.kind === 'spec' ? render(change, stored.content.spec, stored.revision) : [];
  const wanted = render(change, spec, revision((stored?.revision ?? 0) + 1));
  const oldByKey = new Map(old.map((object) => [keyText(keyOf(object)), object]));
  const kept = new Set(wanted.map((object) => keyText(keyOf(object))));
  const written = wanted.flatMap((object): ObjectChange[] => {
    const key = keyOf(object);
    const found = oldByKey.get(keyText(key));
    if (!found) return [{ do: 'create', key, drifts: [] }];
    const drifts = drift(object, found);
    const told = drifts.filter(({ path }) => path !== REVISION_PATH);
    return drifts.length > 0 ? [{ do: 'replace', key, drifts: told }] : [];
  });
  const namespaces = old.filter(({ kind }) => kind === 'Namespace').map(({ metadata }) => metadata.name);
  const pruned = old
    .filter((object) => !kept.has(keyText(keyOf(object))))
    // A namespace takes along what is in it.
    .filter(
      ({ metadata }) => kept.has(`Namespace//${metadata.namespace}`) || !namespaces.includes(metadata.namespace ?? ''),
    );
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
  const isOnlyNumber = verb === 'replace' && drifts.length === 0;
  const note = isOnlyNumber ? ': only the number of the revision' : workersNote(key, drifts);
  return `#   ${verb} ${shortKey(key)}${note}\n${drifts.map(driftLine).join('')}`;
}

/** Why nothing can be said of the cell: a goal that is refused is not acted on. */
function refusedLines(content: GoalContent & { readonly kind: 'refused' }, when: string): string {
  const lines = content.problems.map(
    (p) => `#   ${specPath(p.path)}: found ${short(p.found)}, expected ${short(p.expected)}\n`,
  );
  return `# the merged goal ${when} refused (${content.because}), so the cell stays as it is:\n${lines.join('')}`;
}

function headLine({ storeId, name, stored }: JobChange, spec: JobSpec): string {
  const { tier, namespace } = cellPlace(storeId, name, effectiveSpec(spec).tier);
  const before = stored && tierOf(stored.content);
  if (!before || before === tier) return `# in namespace ${namespace}:\n`;
  const old = cellPlace(storeId, name, before).namespace;
  return `# moved from namespace ${old} to ${namespace} (what is deleted goes when the new workers are ready):\n`;
}

/** The actions under a diff, as comment lines, so that the whole remains a patch. */
export function actionText(change: JobChange): string {
  const after = contentAfter(change);
  if (after.kind === 'refused') return refusedLines(after, 'would be');
  if (after.kind === 'tombstone') return '';
  const now = change.stored?.content;
  if (now?.kind === 'refused') return refusedLines(now, 'is now');
  const changes = objectChanges(change, after.spec);
  return `${headLine(change, after.spec)}${changes.map(changeLines).join('')}`;
}
