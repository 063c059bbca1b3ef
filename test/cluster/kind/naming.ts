import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CHECKOUT = fileURLToPath(new URL('../../..', import.meta.url));

const SUFFIX = `-${createHash('sha256').update(CHECKOUT).digest('hex').slice(0, 6)}`;

/** The folders of all local clusters of this checkout. */
export const CLUSTERS_DIR = join(CHECKOUT, '.bulkhead', 'clusters');

/**
 * The cluster that the demo, the tests and `npm run cluster` share unless they say otherwise. `BULKHEAD_KIND_NAME` names
 * another, for a second run beside the first.
 */
export const DEFAULT_KIND_NAME = process.env.BULKHEAD_KIND_NAME || 'bulkhead';

/**
 * What kind calls the cluster: the name and six hex digits of the checkout's path, so that two checkouts on one machine
 * do not take each other's. A name that has them already stays as it is.
 */
export function kindName(name: string = DEFAULT_KIND_NAME): string {
  const full = isKindName(name) ? name : `${name}${SUFFIX}`;
  // kind appends "-control-plane", and a host name has at most 63 characters.
  if (/^[a-z0-9]([-a-z0-9]{0,45}[a-z0-9])?$/.test(full)) return full;
  throw new Error(`"${name}" cannot name a cluster: use up to 40 lower-case letters, digits and dashes.`);
}

/** Whether it is the whole name of a kind cluster of this checkout. */
export function isKindName(name: string): boolean {
  return name.endsWith(SUFFIX);
}

/** Where the files of one cluster are. */
export interface KindLayout {
  /** What the caller calls it. */
  readonly name: string;
  /** What kind calls it. */
  readonly kindName: string;
  readonly dir: string;
  /** Written last when the cluster is made: without it the cluster is half-made. */
  readonly record: string;
  readonly config: string;
  readonly kubeconfig: string;
  readonly auditDir: string;
  readonly context: string;
  readonly controlPlane: string;
}

export function kindLayout(name: string): KindLayout {
  const full = kindName(name);
  const dir = join(CLUSTERS_DIR, full);
  return {
    name: full.slice(0, -SUFFIX.length),
    kindName: full,
    dir,
    record: join(dir, 'kind.json'),
    config: join(dir, 'kind-config.yaml'),
    kubeconfig: join(dir, 'kubeconfig'),
    auditDir: join(dir, 'audit'),
    context: `kind-${full}`,
    controlPlane: `${full}-control-plane`,
  };
}
