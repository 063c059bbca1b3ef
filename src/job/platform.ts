import type { SpecPatch } from './patch.ts';

/** What no layer may exceed; a field that is left out limits nothing. */
export interface PlatformLimits {
  readonly workers?: {
    readonly replicas?: number | undefined;
    readonly resources?: { readonly cpu?: string | undefined; readonly memory?: string | undefined } | undefined;
  };
  /** Beginnings of image names, one of which a job's image must have: `registry.example/team/`. */
  readonly images?: readonly string[];
}

/** What the platform says: below all layers of a job, and above them. */
export interface PlatformContent {
  readonly defaults: SpecPatch;
  readonly limits: PlatformLimits;
}
