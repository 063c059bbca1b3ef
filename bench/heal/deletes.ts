import { objectPath } from '../../src/cluster/paths.ts';
import type { CellPlace } from '../../src/plan/names.ts';
import { CELL_KINDS, type CellKind } from '../../src/plan/objects.ts';
import type { SeenEvent } from '../lab/index.ts';
import type { Contestant } from './contestants.ts';

const SEEN_LIMIT_MS = 90_000;

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
 * @returns from its end (the answer to the DELETE; for a Namespace the end of its termination) until a watcher saw the
 * part again, in milliseconds
 */
export async function timeHealing(contestant: Contestant, kind: CellKind, place: CellPlace): Promise<number> {
  const { api, watcher, name } = contestant;
  const what = `${name}: ${kind} of ${place.namespace}`;
  const again = watcher.next(`${what} again`, SEEN_LIMIT_MS, isOf(kind, place, 'ADDED'));
  const gone = kind === 'Namespace' ? watcher.next(`${what} gone`, SEEN_LIMIT_MS, isOf(kind, place, 'DELETED')) : null;
  const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' };
  await api.call('DELETE', objectPath(keyIn(kind, place)), { body });
  const answeredAt = performance.now();
  const [seen, end] = await Promise.all([again, gone]);
  return seen.atMs - (end?.atMs ?? answeredAt);
}
