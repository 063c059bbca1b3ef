import type { Scenario } from '../scenario.ts';
import { crashAtCommit } from './crash-at-commit.ts';

/** The scenarios of the store, in the order of faults.md; those that share the fleet come last. */
export const STORE_SCENARIOS: readonly Scenario[] = [crashAtCommit];
