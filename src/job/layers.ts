import type { z } from 'zod';
import { isMap } from './canonical.ts';
import { effectiveProblems, effectiveSpec } from './defaults.ts';
import { foundAndExpected, issuePath, valueAt } from './finding.ts';
import type {
  Authorship,
  GoalContent,
  GoalProblem,
  JobLayers,
  JobRevision,
  Layer,
  OverlayContent,
  PlatformLayers,
  PlatformRevision,
} from './goal.ts';
import { layerOf } from './goal.ts';
import type { Revision } from './ids.ts';
import { limitProblems } from './limits.ts';
import { compose, KEY, merge } from './merge.ts';
import type { SpecPatch } from './patch.ts';
import type { Path } from './problem.ts';
import { jobSpecSchema } from './spec.ts';

/** One of the layers that a goal is merged of. */
export interface StackedLayer {
  readonly scope: 'platform' | `platform of ${string}` | Layer;
  /** Who said it, when and why. */
  readonly revision: Authorship & { readonly revision: Revision };
  readonly patch: SpecPatch;
}

const platformLayer = (revision: PlatformRevision): StackedLayer => ({
  scope: revision.tenant === null ? 'platform' : `platform of ${revision.tenant}`,
  revision,
  patch: revision.content.defaults,
});

function jobLayer(revision: JobRevision): StackedLayer[] {
  const { content } = revision;
  const scope = layerOf(content);
  // What was read as JSON is JSON; the type of the definition adds "or undefined" where a field may be absent.
  if (content.kind === 'spec') return [{ scope, revision, patch: content.spec as unknown as SpecPatch }];
  return content.kind === 'patch' ? [{ scope, revision, patch: content.patch }] : [];
}

const isThere = <T>(value: T | null): value is T => value !== null;

/** The layers that say something, lowest first, above the built-in defaults. A job's spec is a patch of all its fields. */
export const stackedLayers = ({ job, scaler, oncall }: JobLayers, { all, tenant }: PlatformLayers): StackedLayer[] => [
  ...[all, tenant].filter(isThere).map(platformLayer),
  ...[job, scaler, oncall].filter(isThere).flatMap(jobLayer),
];

/** All layers of a job as one value, without the built-in defaults. Not checked: each layer is right, but not their sum. */
export function mergeLayers(layers: JobLayers, platform: PlatformLayers): SpecPatch {
  const [lowest = {}, ...above] = stackedLayers(layers, platform).map(({ patch }) => patch);
  return merge({}, above.reduce(compose, lowest));
}

/** Entries of lists by their names, since nobody sees the merged list to count in it. */
const namedPath = (path: Path, merged: SpecPatch): Path => [
  'spec',
  ...path.map((step, index) => {
    const entry = typeof step === 'number' ? valueAt(merged, path.slice(0, index + 1)) : null;
    return isMap(entry) && typeof entry[KEY] === 'string' ? entry[KEY] : step;
  }),
];

/** An issue of the merged goal: a problem for each unknown field, else one. */
function problemsOf(issue: z.core.$ZodIssue, merged: SpecPatch): GoalProblem[] {
  const path = issuePath(issue);
  if (issue.code === 'unrecognized_keys') {
    const expected = 'no such field';
    return issue.keys.map((key) => ({ path: namedPath([...path, key], merged), found: 'an unknown field', expected }));
  }
  return [{ path: namedPath(path, merged), ...foundAndExpected(issue, merged, jobSpecSchema) }];
}

/**
 * What a job should be, as all layers together have it. A removed job stays removed, whatever lies above. Pure; whatever
 * specs and patches say, also those that an older version stored, nothing is thrown.
 */
export function effectiveGoal(layers: JobLayers, platform: PlatformLayers): GoalContent {
  if (layers.job.content.kind === 'tombstone') return layers.job.content;
  const merged = mergeLayers(layers, platform);
  const parsed = jobSpecSchema.safeParse(merged);
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue) => problemsOf(issue, merged));
    return { kind: 'refused', because: 'InvalidGoal', problems };
  }
  const effective = effectiveSpec(parsed.data);
  const contradictions = effectiveProblems(effective);
  if (contradictions.length > 0) return { kind: 'refused', because: 'InvalidGoal', problems: contradictions };
  const excesses = limitProblems(effective, platform);
  if (excesses.length > 0) return { kind: 'refused', because: 'LimitExceeded', problems: excesses };
  return { kind: 'spec', spec: parsed.data };
}

const isOverlay = (revision: JobRevision): revision is JobRevision<OverlayContent> =>
  layerOf(revision.content) !== 'job';

/**
 * The layers as they stood when revision `n` was the newest. Only what was recorded counts: an on-call layer ends with the
 * revision that ends it, whatever its `until` says.
 * @param history revisions of one job, in any order
 * @returns null when the history has no revision `n`, or nothing of the layer `job` until then
 */
export function asOf(history: readonly JobRevision[], n: number): JobLayers | null {
  if (!history.some(({ revision }) => revision === n)) return null;
  const until = history.filter(({ revision }) => revision <= n).sort((a, b) => b.revision - a.revision);
  const newest = (layer: Layer): JobRevision | undefined => until.find(({ content }) => layerOf(content) === layer);
  const [job, scaler, oncall] = [newest('job'), newest('scaler'), newest('oncall')];
  if (job === undefined || (job.content.kind !== 'spec' && job.content.kind !== 'tombstone')) return null;
  return {
    job: { ...job, content: job.content },
    scaler: scaler !== undefined && isOverlay(scaler) ? scaler : null,
    oncall: oncall !== undefined && isOverlay(oncall) ? oncall : null,
  };
}
