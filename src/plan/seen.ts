import { type Digestible, digest, isOurLabel } from './digest.ts';
import { type CellKind, LABEL_PREFIX, LABELS, type ObjectMeta, type ObservedObject } from './objects.ts';
import type { Carried, SeenObject } from './observation.ts';
import { rolloutOf } from './rollout.ts';

/** A live object, of which the kind is known; items of a list carry none. */
export interface LiveObject extends Digestible {
  readonly metadata: ObjectMeta & { readonly uid: string; readonly resourceVersion: string };
}

/** The API server puts it on every Namespace by itself. */
const NAMESPACE_NAME = 'kubernetes.io/metadata.name';

type Texts = Readonly<Record<string, string>>;

/** Those that pass; undefined for none. */
function some(texts: Texts | undefined, isKept: (key: string) => boolean): Texts | undefined {
  if (!texts) return undefined;
  const kept = Object.keys(texts).filter(isKept);
  return kept.length === 0 ? undefined : Object.fromEntries(kept.map((key) => [key, texts[key] ?? '']));
}

function carriedBy(kind: CellKind, { name, ...metadata }: ObjectMeta): Carried | null {
  const isServers = (key: string) => key === NAMESPACE_NAME && kind === 'Namespace' && metadata.labels?.[key] === name;
  const labels = some(metadata.labels, (key) => !isOurLabel(kind, key) && !isServers(key));
  const annotations = some(metadata.annotations, (key) => !key.startsWith(LABEL_PREFIX));
  const { finalizers, ownerReferences } = metadata;
  if (!labels && !annotations && finalizers === undefined && ownerReferences === undefined) return null;
  return {
    ...(labels && { labels }),
    ...(annotations && { annotations }),
    ...(finalizers !== undefined && { finalizers }),
    ...(ownerReferences !== undefined && { ownerReferences }),
  };
}

/** The little that is kept of a live object. */
export function seenObject(kind: CellKind, object: LiveObject): SeenObject {
  const { metadata } = object;
  const { labels } = metadata;
  return {
    kind,
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    store: labels?.[LABELS.store] ?? null,
    jobId: labels?.[LABELS.jobId] ?? '',
    revision: labels?.[LABELS.revision] ?? null,
    isTerminating: metadata.deletionTimestamp !== undefined,
    digest: digest(kind, object),
    carried: carriedBy(kind, metadata),
    rollout: kind === 'Deployment' ? rolloutOf(object) : null,
  };
}

/** The same with the whole object beside it, so that a plan can name each field that is not as it should be. */
export const readObject = (object: ObservedObject): SeenObject => ({
  ...seenObject(object.kind, object),
  body: object,
});
