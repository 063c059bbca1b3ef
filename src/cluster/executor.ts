import type { ClusterAction } from '../plan/actions.ts';
import {
  ANNOTATIONS,
  type KubeObject,
  keyOf,
  LABELS,
  MANAGER,
  type ObjectKey,
  type ObservedObject,
} from '../plan/objects.ts';
import { type ActionExecutor, ClusterError } from '../ports/cluster.ts';
import { type Fence, fenceMark } from '../ports/shards.ts';
import { decodeObject } from './decode.ts';
import { createPath, objectPath } from './paths.ts';
import { type CallOptions, MERGE_PATCH, type Transport } from './transport.ts';

/** As text, since it is the same for every write. */
const WRITE_QUERY = new URLSearchParams({ fieldManager: MANAGER, fieldValidation: 'Strict' }).toString();

type Delete = Extract<ClusterAction, { do: 'delete' }>;

/**
 * Executes single actions against the API server. What is not sure to be meant is refused by a precondition there, and
 * what is not ours to write any more by the fence: every write says under which epoch it is made.
 */
export class KubernetesExecutor implements ActionExecutor {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async execute(action: ClusterAction, fence: Fence): Promise<ObservedObject | null> {
    switch (action.do) {
      case 'create': {
        const body = stamped(action.object, fence);
        const raw = await this.#transport.call('POST', createPath(keyOf(body)), optionsFor(body));
        return decodeObject(body.kind, raw);
      }
      case 'replace': {
        // The body carries uid and resourceVersion: a changed or re-made object answers 409.
        const body = stamped(action.object, fence);
        const raw = await this.#transport.call('PUT', objectPath(keyOf(body)), optionsFor(body));
        return decodeObject(body.kind, raw);
      }
      case 'delete':
        await this.#delete(action, fence);
        return null;
    }
  }

  /**
   * A DELETE carries no object that could say its epoch, so the object itself is marked with it first; the policy takes
   * a DELETE only of an object whose mark the fence still names. After a failure in between, the same mark is set again,
   * which writes nothing.
   */
  async #delete(action: Delete, fence: Fence): Promise<void> {
    const { key, uid } = action;
    const { resourceVersion } = (await this.#mark(action, fence)).metadata;
    const preconditions = { uid, ...(action.resourceVersion !== null && { resourceVersion }) };
    // A Deployment goes after its workers, so that whoever waits for its end knows that none of them runs any more.
    const propagationPolicy = key.kind === 'Deployment' ? 'Foreground' : 'Background';
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy, preconditions };
    await this.#transport.call('DELETE', objectPath(key), { body });
  }

  async #mark({ key, uid, resourceVersion }: Delete, fence: Fence): Promise<ObservedObject> {
    const mark = fenceMark(fence);
    const annotations = { [ANNOTATIONS.epoch]: mark, [ANNOTATIONS.deleting]: mark };
    const body = { metadata: { uid, ...(resourceVersion !== null && { resourceVersion }), annotations } };
    const options = { query: WRITE_QUERY, body, contentType: MERGE_PATCH };
    return decodeObject(key.kind, await this.#transport.call('PATCH', objectPath(key), options));
  }

  async read(key: ObjectKey): Promise<ObservedObject | null> {
    try {
      return decodeObject(key.kind, await this.#transport.call('GET', objectPath(key)));
    } catch (error) {
      if (error instanceof ClusterError && error.kind === 'gone') return null;
      throw error;
    }
  }
}

/**
 * What is made and replaced goes by its job's lane, since some of that is under way side by side; deletes of a job come one
 * by one and need none.
 */
const optionsFor = (body: KubeObject): CallOptions => ({
  query: WRITE_QUERY,
  body,
  lane: body.metadata.labels?.[LABELS.jobId] ?? null,
});

/** The object under the fence's epoch. What is written is wanted, so a mark that an earlier delete left goes. */
function stamped(object: KubeObject, fence: Fence): KubeObject {
  const { [ANNOTATIONS.deleting]: _mark, ...others } = object.metadata.annotations ?? {};
  const annotations = { ...others, [ANNOTATIONS.epoch]: fenceMark(fence) };
  return { ...object, metadata: { ...object.metadata, annotations } };
}
