import { bombs } from './bombs.ts';
import type { SecurityCheck } from './check.ts';
import { manifests } from './manifests/index.ts';
import { names } from './names.ts';
import { operatorPod } from './operator-pod.ts';
import { pods } from './pods/index.ts';
import { rbac } from './rbac/index.ts';
import { secrets } from './secrets/index.ts';
import { sql } from './sql/index.ts';
import { supplyChain } from './supply-chain.ts';

/** Every check, in the order of the rows. Row 12, the network, is proved by packets: see test/e2e. */
export const SECURITY_CHECKS: readonly SecurityCheck[] = [
  rbac,
  pods,
  manifests,
  names,
  bombs,
  sql,
  secrets,
  operatorPod,
  supplyChain,
];
