import type { Json } from './canonical.ts';

/** A change of a spec as plain data: what `merge` takes. See layers.ts for its rules. */
export type SpecPatch = { readonly [field: string]: Json };
