import { effectiveSpec } from '../job/defaults.ts';
import type { Goal } from '../job/goal.ts';
import type { StoreId } from '../job/ids.ts';
import type { JobSpec } from '../job/spec.ts';
import { digest } from './digest.ts';
import { type CellPlace, cellPlace } from './names.ts';
import { type KubeObject, keyOf, LABELS, type ObjectKey } from './objects.ts';
import type { SeenObject } from './observation.ts';
import { renderCell } from './render/cell.ts';

/** An object that a goal asks for, and what of it is compared with what is there. */
export interface Wanted {
  readonly object: KubeObject;
  readonly key: ObjectKey;
  readonly asked: Pick<SeenObject, 'kind' | 'digest' | 'revision'>;
}

export interface WantedCell {
  readonly place: CellPlace;
  /** In the order in which they are made. */
  readonly wanted: readonly Wanted[];
}

/** A turn plans for one goal several times, and a goal never changes: what it asks for is rendered once. */
const known = new WeakMap<Goal, WantedCell & { readonly storeId: StoreId }>();

/** @param spec what the goal holds */
export function wantedCell(storeId: StoreId, goal: Goal, spec: JobSpec): WantedCell {
  const before = known.get(goal);
  if (before?.storeId === storeId) return before;
  const effective = effectiveSpec(spec);
  const objects = renderCell({ storeId, job: goal.job, revision: goal.revision, spec: effective });
  const place = cellPlace(storeId, goal.job, effective.tier);
  const made = { storeId, place, wanted: objects.map(wantedOf) };
  known.set(goal, made);
  return made;
}

const wantedOf = (object: KubeObject): Wanted => ({
  object,
  key: keyOf(object),
  asked: {
    kind: object.kind,
    digest: digest(object.kind, object),
    revision: object.metadata.labels?.[LABELS.revision] ?? null,
  },
});
