import { z } from 'zod';
import { isMap } from '../job/canonical.ts';
import { CELL_KINDS, type CellKind, type ObservedObject } from '../plan/objects.ts';
import type { LiveObject } from '../plan/seen.ts';

const isTextOrNone = (value: unknown): boolean => value === undefined || typeof value === 'string';
const isMapOrNone = (value: unknown): boolean => value === undefined || isMap(value);

/**
 * What the API server sent, as an object of which at least the identity is known. Looked at by hand: a large cluster
 * sends tens of thousands of them at a start, and a schema takes longer for each than all the rest of the work.
 * @throws Error when it is no Kubernetes object
 */
export function liveObject(raw: unknown): LiveObject {
  const metadata = isMap(raw) ? raw.metadata : undefined;
  if (
    !isMap(metadata) ||
    typeof metadata.name !== 'string' ||
    typeof metadata.uid !== 'string' ||
    typeof metadata.resourceVersion !== 'string' ||
    !isTextOrNone(metadata.namespace) ||
    !isTextOrNone(metadata.deletionTimestamp) ||
    !isMapOrNone(metadata.labels) ||
    !isMapOrNone(metadata.annotations)
  ) {
    throw new Error('the API server sent something that is no Kubernetes object');
  }
  return raw as LiveObject;
}

/**
 * An object as the API server sent it, without managedFields (two thirds of its size). Items of a list carry no kind,
 * so the caller says which.
 * @throws Error when it is no Kubernetes object
 */
export function decodeObject(kind: CellKind, raw: unknown): ObservedObject {
  const { metadata, ...rest } = liveObject(raw);
  const { managedFields: _managedFields, ...kept } = metadata;
  return { ...rest, apiVersion: CELL_KINDS[kind].apiVersion, kind, metadata: kept } as ObservedObject;
}

export const listSchema = z.object({
  metadata: z.object({ resourceVersion: z.string(), continue: z.string().optional() }),
  items: z.array(z.unknown()).nullable().default([]),
});

const EVENT_TYPES = ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR'] as const;

/** One line of a watch. */
export interface WatchEvent {
  readonly type: (typeof EVENT_TYPES)[number];
  readonly object: Readonly<Record<string, unknown>>;
  /** Where the watch stands after it. */
  readonly resourceVersion: string | undefined;
  /** Of a bookmark: everything that was there when the watch began has been told. */
  readonly isInitialEnd: boolean;
}

const INITIAL_END = 'k8s.io/initial-events-end';

/** As the API server begins the event of an object that came or changed. A name holds no quotation marks. */
const EVENT_HEAD =
  /^\{"type":"(?:ADDED|MODIFIED)","object":\{"kind":"\w+","apiVersion":"[\w./]+","metadata":\{"name":"[^"]+",(?:"namespace":"[^"]+",)?"uid":"([^"]+)","resourceVersion":"(\d+)"/;

/**
 * Which version of which object an event tells of, without parsing it, which takes some 50 µs for each: most of what a
 * watch tells in a rebuild is what we have just written. @returns null where that cannot be said, or the object has gone
 */
export function eventVersion(line: string): { readonly uid: string; readonly resourceVersion: string } | null {
  const [, uid, resourceVersion] = EVENT_HEAD.exec(line) ?? [];
  return uid === undefined || resourceVersion === undefined ? null : { uid, resourceVersion };
}

/** @throws Error when the line is no event of a watch */
export function decodeEvent(line: string): WatchEvent {
  const event: unknown = JSON.parse(line);
  const type = isMap(event) ? EVENT_TYPES.find((known) => known === event.type) : undefined;
  const object = isMap(event) ? event.object : undefined;
  if (type === undefined || !isMap(object))
    throw new Error('the API server sent something that is no event of a watch');
  const metadata = isMap(object.metadata) ? object.metadata : {};
  const { resourceVersion: version, annotations } = metadata;
  return {
    type,
    object,
    resourceVersion: typeof version === 'string' ? version : undefined,
    isInitialEnd: type === 'BOOKMARK' && isMap(annotations) && annotations[INITIAL_END] === 'true',
  };
}

const DIGITS = /^\d+$/;

/**
 * Whether version `a` is newer than `b`. Since Kubernetes 1.35 versions of one resource may be compared as numbers;
 * other texts count as newer, since then a watch's own order is all there is.
 */
export function isNewer(a: string, b: string): boolean {
  if (!DIGITS.test(a) || !DIGITS.test(b)) return a !== b;
  return a.length === b.length ? a > b : a.length > b.length;
}
