import type { SpecPatch } from './patch.ts';
import type { Position, Problem } from './problem.ts';

/** What no layer may exceed; a field that is left out limits nothing. */
export interface PlatformLimits {
  readonly workers?:
    | {
        readonly replicas?: number | undefined;
        /** Of one worker: the most that its own limits may be. */
        readonly resources?: { readonly cpu?: string | undefined; readonly memory?: string | undefined } | undefined;
      }
    | undefined;
  /** Beginnings of image names, one of which a job's image must have: `registry.example/team/`. */
  readonly images?: readonly string[] | undefined;
}

/** What the platform says: below all layers of a job, and above them. */
export interface PlatformContent {
  readonly defaults: SpecPatch;
  readonly limits: PlatformLimits;
}

/** What a document says of one scope, and the place of it. */
export interface ParsedPlatform {
  /** A tenant; null for all of them. */
  readonly tenant: string | null;
  readonly content: PlatformContent;
  readonly position: Position;
}

export interface ParsedPlatformFile {
  readonly platforms: readonly ParsedPlatform[];
  readonly problems: readonly Problem[];
}

/** Reads every `kind: Platform` document of a file, as parseDocuments reads jobs. */
export function parsePlatforms(text: string, fileName: string): ParsedPlatformFile {
  const message = `not yet: ${text.length}`;
  return { platforms: [], problems: [{ position: { file: fileName, line: 1, column: 1 }, path: '', message }] };
}

/** What the platform says as a document that {@link parsePlatforms} reads. */
export function platformYaml(tenant: string | null, content: PlatformContent): string {
  return JSON.stringify({ tenant, content });
}
