import { createHash } from 'node:crypto';
import type { JobName, StoreId } from '../job/ids.ts';

/** Names are functions of the job alone, so that a retry finds what an earlier try made. */

const NAMESPACE_PREFIX = 'bh-';
const NAME_MAX = 63; // RFC 1123 label
const HASH_LENGTH = 12; // base 32: 60 bits, so 10⁶ jobs collide with a chance of 4·10⁻⁷
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** Length-prefixed, so that ("ab","c") and ("a","bc") differ. */
function hash(...parts: readonly string[]): string {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(`${Buffer.byteLength(part)}:${part}`);
  return Array.from(digest.digest().subarray(0, HASH_LENGTH), (byte) => BASE32[byte % 32]).join('');
}

/**
 * Namespace of a job's cell, at most 63 characters: readable first, unique by the hash. The store's id takes part, so
 * that two stores on one cluster do not meet.
 */
export function cellNamespace(storeId: StoreId, job: JobName): string {
  const room = NAME_MAX - NAMESPACE_PREFIX.length - HASH_LENGTH - 1;
  const readable = `${job.tenant}-${job.name}`.slice(0, room).replace(/-+$/, '');
  return `${NAMESPACE_PREFIX}${readable}-${hash(storeId, job.tenant, job.name)}`;
}
