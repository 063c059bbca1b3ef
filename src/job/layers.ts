import { effectiveProblems, effectiveSpec } from './defaults.ts';
import type { GoalContent, JobLayers, JobRevision, OverlayContent, PlatformLayers } from './goal.ts';
import { merge } from './merge.ts';
import type { SpecPatch } from './patch.ts';
import { jobSpecSchema } from './spec.ts';

const patchOf = (overlay: JobRevision<OverlayContent> | null): SpecPatch =>
  overlay?.content.kind === 'patch' ? overlay.content.patch : {};

/** All layers of a job as one value, without the built-in defaults. Not checked: each layer is right, but not their sum. */
export function mergeLayers(layers: JobLayers, platform: PlatformLayers): SpecPatch {
  const { content } = layers.job;
  // What was parsed as JSON is JSON; the type of the definition says "or undefined" where a field may be absent.
  const spec = content.kind === 'spec' ? (content.spec as unknown as SpecPatch) : {};
  const defaults = [platform.all, platform.tenant].map((scope) => scope?.content.defaults ?? {});
  return [...defaults, spec, patchOf(layers.scaler), patchOf(layers.oncall)].reduce(merge, {});
}

/** What a job should be, as all layers together have it. Pure and total: whatever the layers hold, it does not throw. */
export function effectiveGoal(layers: JobLayers, platform: PlatformLayers): GoalContent {
  if (layers.job.content.kind === 'tombstone') return layers.job.content;
  const parsed = jobSpecSchema.safeParse(mergeLayers(layers, platform));
  if (!parsed.success) return { kind: 'refused', because: 'InvalidGoal', problems: [] };
  const problems = effectiveProblems(effectiveSpec(parsed.data));
  if (problems.length > 0) return { kind: 'refused', because: 'InvalidGoal', problems };
  return { kind: 'spec', spec: parsed.data };
}

/**
 * The layers as they stood when revision `n` was the newest. Only what was recorded counts: an on-call layer ends with the
 * revision that ends it.
 * @param history all revisions of the job, in any order
 * @returns null when the history has no revision `n`, or no spec before it
 */
export function asOf(history: readonly JobRevision[], n: number): JobLayers | null {
  return history.length < n ? null : null;
}
