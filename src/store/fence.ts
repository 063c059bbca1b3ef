import { type Fence, StoreError } from '../ports/store.ts';

/**
 * Part of a statement: one row while the fence holds, none when it is outdated. FOR KEY SHARE makes a takeover wait for
 * the statements that were let in under the old epoch; a renewal of the lease does not wait.
 */
export const fenceCte = (owner: string, epoch: string): string =>
  `fence as materialized (
     select 1 from bulkhead.shard where id = 0 and owner = ${owner} and epoch = ${epoch} for key share
   )`;

export function fenced(fence: Fence): StoreError {
  return new StoreError('fenced', `Another operator has taken over from ${fence.owner} (epoch ${fence.epoch}).`);
}
