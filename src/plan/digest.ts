import { hash } from 'node:crypto';
import { isMap } from '../job/canonical.ts';
import { ANNOTATIONS, type CellKind, type KubeObject, LABEL_PREFIX, LABELS } from './objects.ts';

/**
 * What of an object a goal speaks of, as one short text: two objects have the same digest exactly when `drift` finds
 * nothing between them but the number of the revision. So a cache of digests is enough to see drift.
 */

/** What a digest is made of: an object to be written, or one that the API server sent. */
export interface Digestible {
  readonly metadata: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/**
 * Fields that the API server allocates, or that are said once, as the object is made: it keeps them when a replacement
 * leaves them out, and they are never drift.
 */
export const SERVER_ALLOCATED: Partial<Record<CellKind, ReadonlySet<string>>> = {
  Service: new Set(['spec.clusterIP', 'spec.clusterIPs', 'spec.ipFamilies', 'spec.ipFamilyPolicy']),
  Namespace: new Set(['spec']),
  ServiceAccount: new Set(['secrets', 'imagePullSecrets']),
};

/** The object as a replacement may say it: without what the API server is to keep. */
export function withoutAllocated<T extends KubeObject>(object: T): T {
  const allocated = SERVER_ALLOCATED[object.kind];
  if (!allocated || !isMap(object.spec)) return object;
  const spec = Object.fromEntries(Object.entries(object.spec).filter(([key]) => !allocated.has(`spec.${key}`)));
  return { ...object, spec };
}

/** An empty one selects everything and an absent one nothing more than its surroundings do: here emptiness counts. */
const SELECTORS: ReadonlySet<string> = new Set(['podSelector', 'namespaceSelector']);

const APART: ReadonlySet<string> = new Set(['apiVersion', 'kind', 'metadata', 'status']);

const POD_SECURITY: ReadonlySet<string> = new Set([
  'pod-security.kubernetes.io/enforce',
  'pod-security.kubernetes.io/enforce-version',
]);

/** 128 bits. */
const DIGEST_BYTES = 16;
const scratch = Buffer.alloc(DIGEST_BYTES);

/** Whether a field says something by being there, whatever is in it. */
export const speaks = (key: string, value: unknown): boolean => SELECTORS.has(key) && isMap(value);

/** Every server-defaulted field is rendered, so anything that is not empty in a live object was put there by somebody. */
export function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isMap(value) && Object.entries(value).every(([key, inner]) => isEmpty(inner) && !speaks(key, inner));
}

/** Labels that are as the goal says, or drift: our own, and those of others that enforce something. */
export const isOurLabel = (kind: CellKind, key: string): boolean =>
  key.startsWith(LABEL_PREFIX) || key === LABELS.managedBy || (kind === 'Namespace' && POD_SECURITY.has(key));

/** The epoch is stamped with every write and never for its own sake; the mark of a delete that did not happen goes. */
export const isOurAnnotation = (key: string): boolean => key.startsWith(LABEL_PREFIX) && key !== ANNOTATIONS.epoch;

/** Lengths stand before texts, so that no text can look like another value. */
const word = (text: string): string => `${text.length}:${text}`;

/** The normal form of a value; nothing for an empty one. */
function normal(value: unknown, path: string, allocated: ReadonlySet<string> | undefined): string {
  switch (typeof value) {
    case 'string':
      return `s${word(value)}`;
    case 'number':
    case 'boolean':
      return `${value};`;
  }
  if (Array.isArray(value)) {
    return value.length === 0 ? '' : `[${value.map((entry) => normal(entry, '', undefined) || '-').join('')}]`;
  }
  if (!isMap(value)) return '';
  const text = normalMap(value, path, allocated);
  return text === '' ? '' : `{${text}}`;
}

/**
 * The fields of a map in the order of their names.
 * @param path where the map is, ending in a dot; kept only for kinds with allocated fields
 */
function normalMap(
  map: Readonly<Record<string, unknown>>,
  path: string,
  allocated: ReadonlySet<string> | undefined,
  apart?: ReadonlySet<string>,
): string {
  let text = '';
  for (const key of Object.keys(map).sort()) {
    if (allocated?.has(path + key) || apart?.has(key)) continue;
    const value = map[key];
    const inner = normal(value, allocated ? `${path}${key}.` : '', allocated) || (speaks(key, value) ? '{}' : '');
    if (inner !== '') text += word(key) + inner;
  }
  return text;
}

function normalTexts(texts: Readonly<Record<string, string>> | undefined, isOurs: (key: string) => boolean): string {
  if (!texts) return '';
  let text = '';
  for (const key of Object.keys(texts).sort()) if (isOurs(key)) text += word(key) + word(texts[key] ?? '');
  return text;
}

/**
 * Of the object without the number of its revision, its status and what the API server sets: 16 characters that each stand
 * for a byte, since there are as many digests in memory as objects. To be compared, never shown.
 */
export function digest(kind: CellKind, object: Digestible): string {
  const { labels, annotations } = object.metadata;
  const labelText = normalTexts(labels, (key) => key !== LABELS.revision && isOurLabel(kind, key));
  const annotationText = normalTexts(annotations, isOurAnnotation);
  const text = `${labelText}|${annotationText}|${normalMap(object, '', SERVER_ALLOCATED[kind], APART)}`;
  // By way of a buffer: a part cut from a text would keep the whole text in memory for as long as it is kept itself.
  scratch.write(hash('sha256', text, 'binary'), 0, DIGEST_BYTES, 'latin1');
  return scratch.toString('latin1');
}
