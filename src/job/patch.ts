import { isMap, type Json } from './canonical.ts';

/** A change of a spec as plain data: what `merge` takes. See merge.ts for its rules. */
export type SpecPatch = { readonly [field: string]: Json };

/** A patch, or what keeps it from being one: a sentence each, beginning with the place. */
export type ParsedPatch =
  | { readonly patch: SpecPatch; readonly problems: readonly [] }
  | { readonly patch: null; readonly problems: readonly string[] };

/** Checks a patch of a spec: every field as the definition has it, but none required and each may be null. */
export function parsePatch(value: unknown): ParsedPatch {
  return isMap(value) ? { patch: value, problems: [] } : { patch: null, problems: ['expected a map'] };
}

/**
 * Turns `--set` arguments into one patch, the later ones above the earlier: `workers.replicas=3`,
 * `container.env[LOG_LEVEL].value=debug`, `container.env[OLD]=null`, `workers.resources.limits={cpu: 2, memory: 1Gi}`.
 */
export function assignments(texts: readonly string[]): ParsedPatch {
  return { patch: null, problems: texts };
}
