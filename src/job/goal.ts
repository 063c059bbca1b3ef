import type { JobRef, Revision } from './ids.ts';
import type { SpecPatch } from './patch.ts';
import type { PlatformContent } from './platform.ts';
import type { JobSpec } from './spec.ts';

/** Which way a change came in. */
export const SOURCES = ['cli', 'api', 'kubectl', 'rollback', 'scaler', 'oncall', 'system'] as const;
export type Source = (typeof SOURCES)[number];

/** The layers of one job, lowest first. Below them lie the built-in defaults and `platform.defaults`. */
export const LAYERS = ['job', 'scaler', 'oncall'] as const;
export type Layer = (typeof LAYERS)[number];

/** What layer `job` says: the whole spec as somebody wrote it, or that the job should be no more. */
export type JobContent = { readonly kind: 'spec'; readonly spec: JobSpec } | { readonly kind: 'tombstone' };

/** What a layer above says: a patch of the spec (until a time, where it ends by itself), or nothing any more. */
export type OverlayContent =
  | { readonly kind: 'patch'; readonly layer: 'scaler'; readonly patch: SpecPatch }
  | { readonly kind: 'patch'; readonly layer: 'oncall'; readonly patch: SpecPatch; readonly until: Date | null }
  | { readonly kind: 'cleared'; readonly layer: 'scaler' | 'oncall' };

export type LayerContent = JobContent | OverlayContent;

/** The layer that a content belongs to. */
export const layerOf = (content: LayerContent): Layer =>
  content.kind === 'spec' || content.kind === 'tombstone' ? 'job' : content.layer;

/** Who changed something, how and why: every revision carries it. */
export interface Authorship {
  readonly author: string;
  readonly source: Source;
  readonly reason: string | null;
  readonly idempotencyKey: string | null;
  readonly createdAt: Date;
}

/** One immutable revision of one layer of a job. The numbers are one series for each job, whatever the layer. */
export interface JobRevision<C extends LayerContent = LayerContent> extends Authorship {
  readonly revision: Revision;
  readonly content: C;
  /** SHA-256 of the content; equal content on the same layer is no new revision. */
  readonly contentHash: string;
  /** Whoever wrote it meant to overrule those who keep the job's fields in Kubernetes. Of layer `job` only. */
  readonly takeOver?: true;
}

/** One immutable revision of what the platform says, for all tenants or for one. Each scope has its own numbers. */
export interface PlatformRevision extends Authorship {
  /** A tenant; null for all of them. */
  readonly tenant: string | null;
  readonly revision: Revision;
  readonly content: PlatformContent;
  readonly contentHash: string;
}

/** The newest revision of each layer that has one. */
export interface JobLayers {
  readonly job: JobRevision<JobContent>;
  readonly scaler: JobRevision<OverlayContent> | null;
  readonly oncall: JobRevision<OverlayContent> | null;
}

/** What the platform says about one job: for all tenants, and for its own. */
export interface PlatformLayers {
  readonly all: PlatformRevision | null;
  readonly tenant: PlatformRevision | null;
}

/** A rule that the merged goal breaks though each layer on its own is well formed. */
export interface GoalProblem {
  readonly path: readonly (string | number)[];
  readonly found: string;
  /** What was expected and, where it helps, what to do. */
  readonly expected: string;
}

/** The effective goal: all layers merged and checked. Derived, never stored. */
export type GoalContent =
  | JobContent
  | {
      readonly kind: 'refused';
      /** `LimitExceeded`: platform.limits forbid it. `InvalidGoal`: the layers contradict each other. */
      readonly because: 'InvalidGoal' | 'LimitExceeded';
      readonly problems: readonly GoalProblem[];
    };

/** What a job should be, as all layers together have it now. */
export interface Goal {
  readonly job: JobRef;
  /** The newest of the layers' revisions. */
  readonly revision: Revision;
  readonly layers: JobLayers;
  readonly platform: PlatformLayers;
  readonly content: GoalContent;
}

/** The layers' newest revision: who changed the job last. */
export function newestRevision({ layers }: Pick<Goal, 'layers'>): JobRevision {
  return [layers.scaler, layers.oncall].reduce<JobRevision>(
    (newest, other) => (other && other.revision > newest.revision ? other : newest),
    layers.job,
  );
}
