import { canonicalJson, isMap } from '../job/canonical.ts';
import { isEmpty, isOurAnnotation, isOurLabel, SERVER_ALLOCATED, speaks } from './digest.ts';
import { ANNOTATIONS, countedRevision, type KubeObject, LABELS } from './objects.ts';

/** One field that is not as the goal says. */
export interface Drift {
  readonly path: string;
  readonly wanted: string;
  readonly found: string;
}

const show = (value: unknown): string => (value === undefined ? 'nothing' : canonicalJson(value));

function compare(path: string, wanted: unknown, found: unknown, allocated: ReadonlySet<string>): Drift[] {
  if (isEmpty(wanted) && isEmpty(found)) return [];
  if (isMap(wanted) && isMap(found)) {
    const keys = [...new Set([...Object.keys(wanted), ...Object.keys(found)])].sort();
    return keys.flatMap((key) => {
      const inner = path === '' ? key : `${path}.${key}`;
      if (allocated.has(inner)) return [];
      if (speaks(key, wanted[key]) !== speaks(key, found[key])) {
        return [{ path: inner, wanted: show(wanted[key]), found: show(found[key]) }];
      }
      return compare(inner, wanted[key], found[key], allocated);
    });
  }
  if (Array.isArray(wanted) && Array.isArray(found) && wanted.length === found.length) {
    return wanted.flatMap((entry, index) => compare(`${path}[${index}]`, entry, found[index], allocated));
  }
  return canonicalJson(wanted) === canonicalJson(found) ? [] : [{ path, wanted: show(wanted), found: show(found) }];
}

/** Labels and annotations are shared with others: ours must be as we say, and nobody else may use our prefix. */
function compareShared(field: 'labels' | 'annotations', wanted: KubeObject, found: KubeObject): Drift[] {
  const mine = wanted.metadata[field] ?? {};
  const theirs = found.metadata[field] ?? {};
  const counted = (shown: string | undefined) => countedRevision(wanted.kind, shown);
  const isOurs = (key: string) => (field === 'labels' ? isOurLabel(wanted.kind, key) : isOurAnnotation(key));
  return [...new Set([...Object.keys(mine), ...Object.keys(theirs).filter(isOurs)])]
    .sort()
    .filter((key) => mine[key] !== theirs[key] && key !== ANNOTATIONS.epoch)
    .filter((key) => key !== LABELS.revision || counted(mine[key]) !== counted(theirs[key]))
    .map((key) => ({ path: `metadata.${field}[${key}]`, wanted: show(mine[key]), found: show(theirs[key]) }));
}

/**
 * Where a live object is not what the goal asks for; empty when it is. Status and server-set metadata do not count,
 * everything else does: a field that somebody added is drift as much as one that somebody changed.
 */
export function drift(wanted: KubeObject, found: KubeObject): Drift[] {
  const allocated = SERVER_ALLOCATED[wanted.kind] ?? new Set<string>();
  const body = ({ metadata: _metadata, status: _status, ...rest }: KubeObject): Record<string, unknown> => rest;
  return [
    ...compareShared('labels', wanted, found),
    ...compareShared('annotations', wanted, found),
    ...compare('', body(wanted), body(found), allocated),
  ];
}

const SHOWN_FIELDS = 3;
const SHOWN_CHARACTERS = 80;

const short = (text: string): string => (text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text);

/** People write secrets into these, and the sentence goes into events, logs and traces. */
const SECRET_PATHS = /^spec\.template\.spec\.containers(\[\d+\]\.(env|args|command|\w+Probe\.exec)\b|$)/;

const fieldText = ({ path, found, wanted }: Drift): string =>
  SECRET_PATHS.test(path)
    ? `${path} is not as the goal says`
    : `${path} is ${short(found)}, the goal says ${short(wanted)}`;

/** What is said of an object that shows another revision. Each is what its label says; null where it has none. */
export const newerText = (found: string | null, wanted: string | null): string =>
  `it shows revision ${show(found ?? undefined)}, the goal is revision ${show(wanted ?? undefined)}`;

/** A sentence about the first few fields. */
export function driftText(drifts: readonly Drift[]): string {
  const text = drifts.slice(0, SHOWN_FIELDS).map(fieldText).join('; ');
  const more = drifts.length - SHOWN_FIELDS;
  return more > 0 ? `${text}; and ${more} more` : text;
}
