import { isMap } from '../job/canonical.ts';
import type { ContainerState, ObservedPod } from './observation.ts';

/** The few fields of a Pod that Bulkhead reads; everything else is dropped at the edge and takes no memory. */

type Fields = Readonly<Record<string, unknown>>;

const NONE: Fields = {};

const mapIn = (fields: Fields, key: string): Fields => {
  const value = fields[key];
  return isMap(value) ? value : NONE;
};
const mapsIn = (fields: Fields, key: string): readonly Fields[] => {
  const value: unknown = fields[key];
  return Array.isArray(value) ? value.filter(isMap) : [];
};
const textOr = <T>(value: unknown, otherwise: T): string | T => (typeof value === 'string' ? value : otherwise);
const countIn = (fields: Fields, key: string): number => (typeof fields[key] === 'number' ? fields[key] : 0);

function exitIn(state: Fields): ContainerState['lastExit'] {
  const { terminated } = state;
  if (!isMap(terminated)) return null;
  const { reason, message } = terminated;
  return { reason: textOr(reason, ''), exitCode: countIn(terminated, 'exitCode'), message: textOr(message, '') };
}

function containerState(status: Fields): ContainerState {
  const state = mapIn(status, 'state');
  const { reason, message } = mapIn(state, 'waiting');
  return {
    waitingReason: textOr(reason, null),
    waitingMessage: textOr(message, null),
    lastExit: exitIn(state) ?? exitIn(mapIn(status, 'lastState')),
  };
}

/**
 * Reduces a Pod of the API server. By hand: with many workers these are most of what a watch tells.
 * @throws Error when it is no Pod
 */
export function reducePod(raw: unknown): ObservedPod {
  const { name, namespace, uid, deletionTimestamp } = mapIn(isMap(raw) ? raw : NONE, 'metadata');
  if (typeof name !== 'string' || typeof namespace !== 'string' || typeof uid !== 'string') {
    throw new Error('the API server sent something that is no Pod');
  }
  const status = mapIn(raw as Fields, 'status');
  const conditions = mapsIn(status, 'conditions');
  const container = mapsIn(status, 'containerStatuses')[0] ?? NONE;
  const scheduled = conditions.find(({ type }) => type === 'PodScheduled');
  return {
    name,
    namespace,
    uid,
    phase: textOr(status.phase, 'Unknown'),
    ready: conditions.some((it) => it.type === 'Ready' && it.status === 'True'),
    terminating: deletionTimestamp !== undefined,
    restarts: countIn(container, 'restartCount'),
    container: containerState(container),
    unschedulable:
      scheduled?.status === 'False' && scheduled.reason === 'Unschedulable'
        ? textOr(scheduled.message, 'no node fits')
        : null,
  };
}
