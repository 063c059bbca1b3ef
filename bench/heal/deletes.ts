import { objectPath } from '../../src/cluster/paths.ts';
import type { CellPlace } from '../../src/plan/names.ts';
import { CELL_KINDS, type CellKind } from '../../src/plan/objects.ts';
import type { SeenEvent } from '../lab/index.ts';
import type { Contestant } from './contestants.ts';

/** Patience, and no part of what is measured: a namespace ends when its controller comes to it. */
const SEEN_LIMIT_MS = 300_000;

const keyIn = (kind: CellKind, { namespace, name }: CellPlace) =>
  kind === 'Namespace' ? { kind, namespace: '', name: namespace } : { kind, namespace, name };

/** Whether an event tells of this part of a cell. */
function isOf(kind: CellKind, place: CellPlace, type: SeenEvent['type']): (event: SeenEvent) => boolean {
  const { resource } = CELL_KINDS[kind];
  const { namespace, name } = keyIn(kind, place);
  return (event) =>
    event.resource === resource && event.type === type && event.namespace === namespace && event.name === name;
}

/**
 * Deletes one part of a cell, as a person with kubectl would.
 * @returns from the moment a watcher saw it gone (for a Namespace: the end of its termination; the DELETE of a Service is
 * answered long after) until it saw the part again, in milliseconds
 */
export async function timeHealing(contestant: Contestant, kind: CellKind, place: CellPlace): Promise<number> {
  const { api, watcher, name } = contestant;
  const what = `${name}: ${kind} of ${place.namespace}`;
  const gone = watcher.next(`${what} gone`, SEEN_LIMIT_MS, isOf(kind, place, 'DELETED'));
  const again = watcher.next(`${what} again`, SEEN_LIMIT_MS, isOf(kind, place, 'ADDED'));
  const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' };
  const deleted = api.call('DELETE', objectPath(keyIn(kind, place)), { body });
  const [end, seen] = await Promise.all([gone, again, deleted]);
  return seen.atMs - end.atMs;
}
