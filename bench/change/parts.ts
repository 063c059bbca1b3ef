import { type AuditedRequest, isWrite, userOf } from '../lab/index.ts';
import type { Sample } from './sample.ts';

/** Where the time of one edit goes, by the API server's own clock; milliseconds. */
export interface Parts {
  /** From the commit until the API server had the first write that followed from it. */
  readonly firstWriteMs: number;
  /** From then until it had the Deployment's. */
  readonly deploymentWriteMs: number;
  /** How long it had the Deployment's. */
  readonly handledMs: number;
  /** From its answer until the watcher saw the change. */
  readonly deliveredMs: number;
  readonly writes: number;
}

/** An edit whose cell is known. */
export interface EditedCell extends Sample {
  readonly namespace: string;
  readonly name: string;
}

/**
 * @param requests what the API server answered around that time
 * @param wallMs what has to be added to performance.now() to get the API server's clock
 * @returns null where the audit log does not hold the edit's writes
 */
export function partsOf(edit: EditedCell, requests: readonly AuditedRequest[], wallMs: number): Parts | null {
  const committedAt = edit.committedAt + wallMs;
  const user = userOf('bulkhead');
  const mine = requests
    .filter((request) => request.user === user && isWrite(request) && request.code < 300)
    .filter(({ namespace, resource, name }) => (resource === 'namespaces' ? name : namespace) === edit.namespace)
    .map((request) => ({ ...request, receivedAt: request.answeredAtMs - request.tookMs }))
    .sort((a, b) => a.receivedAt - b.receivedAt);
  const deployment = mine.find(({ resource }) => resource === 'deployments');
  const first = mine[0];
  if (!first || !deployment) return null;
  return {
    firstWriteMs: first.receivedAt - committedAt,
    deploymentWriteMs: deployment.receivedAt - first.receivedAt,
    handledMs: deployment.tookMs,
    deliveredMs: committedAt + edit.seenMs - deployment.answeredAtMs,
    writes: mine.length,
  };
}
