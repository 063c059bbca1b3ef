import { contentHash } from '../job/canonical.ts';
import { ANNOTATIONS, type KubeObject, type ObservedObject } from './objects.ts';

/** What was last seen of one cell. */
export interface CellObservation {
  /** By {@link keyText}: every object in the cell that carries our store's labels, and any other met at one of our names. */
  readonly objects: ReadonlyMap<string, ObservedObject>;
  readonly pods: readonly ObservedPod[];
  /** By {@link keyText}: what the API server made of our own last write of the object. */
  readonly settled: ReadonlyMap<string, Settled>;
}

/**
 * The API server (or a mutating webhook) may store an object other than we sent it. What came back from our own write
 * is taken as its final word: it is not drift, and writing it again would loop for ever.
 */
export interface Settled {
  /** {@link goalHash} of the object that the goal asked for when we wrote. */
  readonly goalHash: string;
  /** {@link goalHash} of what came back. */
  readonly storedHash: string;
}

export const EMPTY_OBSERVATION: CellObservation = { objects: new Map(), pods: [], settled: new Map() };

export interface ContainerState {
  /** `waiting` reason such as ImagePullBackOff; null when it does not wait. */
  readonly waitingReason: string | null;
  readonly waitingMessage: string | null;
  /** How the container ended most lately; null when it never did. */
  readonly lastExit: { readonly reason: string; readonly exitCode: number; readonly message: string } | null;
}

export interface ObservedPod {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly phase: string;
  readonly ready: boolean;
  readonly terminating: boolean;
  readonly restarts: number;
  readonly container: ContainerState;
  /** The scheduler's words when it finds no node; null otherwise. */
  readonly unschedulable: string | null;
}

/** The part of an object that a goal speaks of: no status, no server-set metadata, not the epoch it was written under. */
export function comparable(object: KubeObject): Record<string, unknown> {
  const { metadata, status: _status, ...rest } = object;
  const { [ANNOTATIONS.epoch]: _epoch, ...annotations } = metadata.annotations ?? {};
  return { ...rest, metadata: { labels: metadata.labels ?? {}, annotations } };
}

/** Identifies what a goal asks of one object, or what the server made of it. */
export const goalHash = (object: KubeObject): string => contentHash(comparable(object));
