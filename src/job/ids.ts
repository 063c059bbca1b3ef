/**
 * The names that travel through every station. A branded string can only be made at an edge (a parser, a database
 * row), so a function that takes a `JobId` can trust it.
 */
declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** UUID of a job. Never reused, also not when a job of the same tenant and name is made again. */
export type JobId = Brand<string, 'JobId'>;
/** UUID made with the store; carried by every object, so that two stores on one cluster never touch each other's cells. */
export type StoreId = Brand<string, 'StoreId'>;
/** UID of a cluster's kube-system namespace. */
export type ClusterId = Brand<string, 'ClusterId'>;
/** Number of a goal revision: 1, 2, 3 … for each job. */
export type Revision = Brand<number, 'Revision'>;
/** A number that only grows with each change of owner; a write under an older one is refused. */
export type Epoch = Brand<number, 'Epoch'>;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function uuid(text: string, what: string): string {
  if (!UUID.test(text)) throw new TypeError(`${what} must be a lower-case UUID, found ${JSON.stringify(text)}`);
  return text;
}

/** @throws TypeError when `text` is no lower-case UUID */
export const jobId = (text: string): JobId => uuid(text, 'a job id') as JobId;
/** For texts that anybody may have written, such as labels and notifications: null names no job. */
export const parseJobId = (text: string): JobId | null => (UUID.test(text) ? (text as JobId) : null);
/** @throws TypeError when `text` is no lower-case UUID */
export const storeId = (text: string): StoreId => uuid(text, 'a store id') as StoreId;
/** @throws TypeError when `text` is no lower-case UUID */
export const clusterId = (text: string): ClusterId => uuid(text, 'a cluster id') as ClusterId;

function positive(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 1) throw new TypeError(`${what} must be 1 or more, found ${value}`);
  return value;
}

/** @throws TypeError when `value` is no whole number from 1 */
export const revision = (value: number): Revision => positive(value, 'a revision') as Revision;
/** @throws TypeError when `value` is no whole number from 1 */
export const epoch = (value: number): Epoch => positive(value, 'an epoch') as Epoch;

/** How people name a job: `tenant/name`, unique among the jobs that are not removed. */
export interface JobName {
  readonly tenant: string;
  readonly name: string;
}

export interface JobRef extends JobName {
  readonly id: JobId;
}

export const jobName = (job: JobName): string => `${job.tenant}/${job.name}`;
