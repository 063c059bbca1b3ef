import { hash as digestOf } from 'node:crypto';
import type { JobName, StoreId } from '../job/ids.ts';
import type { Tier } from '../job/tier.ts';

/** Names are functions of the job alone, so that a retry finds what an earlier try made. */

const PREFIX = 'bh-';
const NAME_MAX = 63; // RFC 1123 label
const HASH_LENGTH = 12; // base 32: 60 bits, so 10⁶ jobs collide with a chance of 4·10⁻⁷
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** Length-prefixed, so that ("ab","c") and ("a","bc") differ. */
function hash(...parts: readonly string[]): string {
  const text = parts.map((part) => `${Buffer.byteLength(part)}:${part}`).join('');
  const digest = digestOf('sha256', text, 'buffer');
  return Array.from(digest.subarray(0, HASH_LENGTH), (byte) => BASE32[byte % 32]).join('');
}

/**
 * At most 63 characters, a letter first: readable, and unique by the hash. The store's id takes part, so that two stores
 * on one cluster do not meet.
 */
function unique(readable: string, storeId: StoreId, job: JobName): string {
  const room = NAME_MAX - PREFIX.length - HASH_LENGTH - 1;
  const start = PREFIX + readable.slice(0, room).replace(/-+$/, '');
  // Joined, since each job's name is kept: of what is put together by + V8 keeps all parts, in three times the memory.
  return [start, hash(storeId, job.tenant, job.name)].join('-');
}

/** The namespace that a job has to itself in tier `namespace`. */
export const cellNamespace = (storeId: StoreId, job: JobName): string =>
  unique(`${job.tenant}-${job.name}`, storeId, job);

/** Where a job's objects lie, and what all of them are called there. */
export interface CellPlace {
  readonly tier: Tier;
  readonly namespace: string;
  readonly name: string;
}

/**
 * The place of a job's cell in a tier. In tier `shared` it lies among things that are not ours, so its objects have a
 * name that nobody else thinks of, instead of the job's own.
 */
export const cellPlace = (storeId: StoreId, job: JobName, tier: Tier): CellPlace =>
  tier === 'namespace'
    ? { tier, namespace: cellNamespace(storeId, job), name: job.name }
    : { tier, namespace: job.tenant, name: unique(job.name, storeId, job) };

const CELL_NAMESPACE = new RegExp(`^${PREFIX}.*-[a-z2-7]{${HASH_LENGTH}}$`);

/** Namespaces in which no tenant's jobs may lie: Kubernetes' own, Bulkhead's own, and those that are cells themselves. */
export const isReserved = (namespace: string): boolean =>
  namespace.startsWith('kube-') || namespace === 'bulkhead-system' || CELL_NAMESPACE.test(namespace);
