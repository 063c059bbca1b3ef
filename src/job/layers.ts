import type { z } from 'zod';
import { isMap } from './canonical.ts';
import { effectiveProblems, effectiveSpec } from './defaults.ts';
import { foundAndExpected, issuePath, valueAt } from './finding.ts';
import type {
  GoalContent,
  GoalProblem,
  JobLayers,
  JobRevision,
  Layer,
  LayerContent,
  OverlayContent,
  PlatformLayers,
} from './goal.ts';
import { layerOf } from './goal.ts';
import { limitProblems } from './limits.ts';
import { KEY, merge } from './merge.ts';
import type { SpecPatch } from './patch.ts';
import type { Path } from './problem.ts';
import { jobSpecSchema } from './spec.ts';

/** What a layer of a job lays above those below: a spec says all of its fields. */
export function patchOf(content: LayerContent): SpecPatch {
  // What was read as JSON is JSON; the type of the definition adds "or undefined" where a field may be absent.
  if (content.kind === 'spec') return content.spec as unknown as SpecPatch;
  return content.kind === 'patch' ? content.patch : {};
}

/** What lies on top of each other, lowest first, without the built-in defaults: the order of all layers. */
export function patches(layers: JobLayers, platform: PlatformLayers): SpecPatch[] {
  const { job, scaler, oncall } = layers;
  return [
    ...[platform.all, platform.tenant].map((scope) => scope?.content.defaults ?? {}),
    ...[job, scaler, oncall].map((layer) => (layer === null ? {} : patchOf(layer.content))),
  ];
}

/** All layers of a job as one value, without the built-in defaults. Not checked: each layer is right, but not their sum. */
export const mergeLayers = (layers: JobLayers, platform: PlatformLayers): SpecPatch =>
  patches(layers, platform).reduce(merge, {});

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
 * What a job should be, as all layers together have it. A removed job stays removed, whatever lies above. Pure, and total:
 * whatever the layers hold, also what an older version stored, nothing is thrown.
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
