import { countedRevision, type ObjectKey, type ObservedObject, type Owner } from './objects.ts';
import type { Rollout } from './rollout.ts';

/** What was last seen of one cell. */
export interface CellObservation {
  /** Every object in the cell that carries our store's labels, and any other met at one of our names. */
  readonly objects: readonly SeenObject[];
  readonly pods: readonly ObservedPod[];
  /** By `keyText`: what the API server made of our own last write of the object, where that is not what we sent. */
  readonly settled: ReadonlyMap<string, Settled>;
}

/**
 * What is kept of an object that is in the cluster. A cache holds one for each object of all cells, so its body is not
 * here: a digest tells whether it is as the goal says.
 */
export interface SeenObject extends ObjectKey, Owner {
  readonly uid: string;
  readonly resourceVersion: string;
  /** What its label says; null where it has none. */
  readonly revision: string | null;
  readonly isTerminating: boolean;
  /** Of all that a goal speaks of, but for the revision's number (see digest.ts). */
  readonly digest: string;
  /** What a replacement carries over; null where there is nothing. */
  readonly carried: Carried | null;
  /** Of a Deployment; null for every other kind. */
  readonly rollout: Rollout | null;
  /** The whole object, where somebody has just read it. */
  readonly body?: ObservedObject;
}

/** What others have put on an object, and what keeps it. */
export interface Carried {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: unknown;
  readonly ownerReferences?: unknown;
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

export const EMPTY_OBSERVATION: CellObservation = { objects: [], pods: [], settled: new Map() };

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

/** Identifies what a goal asks of one object, or what the server made of it. */
export const goalHash = ({ kind, digest, revision }: Pick<SeenObject, 'kind' | 'digest' | 'revision'>): string =>
  `${digest} ${countedRevision(kind, revision)}`;

export const isAt = (key: ObjectKey, { kind, namespace, name }: ObjectKey): boolean =>
  key.kind === kind && key.name === name && key.namespace === namespace;

/** A cell has few objects, so looking through them is the shortest way to one. */
export const seenAt = (objects: readonly SeenObject[], key: ObjectKey): SeenObject | undefined =>
  objects.find((object) => isAt(object, key));
