import type { ClusterAction } from '../plan/actions.ts';
import { keyOf, MANAGER, type ObjectKey, type ObservedObject } from '../plan/objects.ts';
import { type ActionExecutor, ClusterError } from '../ports/cluster.ts';
import { decodeObject } from './decode.ts';
import { createPath, objectPath } from './paths.ts';
import type { Transport } from './transport.ts';

const WRITE_QUERY = { fieldManager: MANAGER, fieldValidation: 'Strict' };

/** Executes single actions against the API server. What is not sure to be meant is refused by a precondition there. */
export class KubernetesExecutor implements ActionExecutor {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async execute(action: ClusterAction): Promise<ObservedObject | null> {
    switch (action.do) {
      case 'create': {
        const path = createPath(keyOf(action.object));
        const raw = await this.#transport.call('POST', path, { query: WRITE_QUERY, body: action.object });
        return decodeObject(action.object.kind, raw);
      }
      case 'replace': {
        // The body carries uid and resourceVersion: a changed or re-made object answers 409.
        const path = objectPath(keyOf(action.object));
        const raw = await this.#transport.call('PUT', path, { query: WRITE_QUERY, body: action.object });
        return decodeObject(action.object.kind, raw);
      }
      case 'delete': {
        const { uid, resourceVersion } = action;
        const preconditions = { uid, ...(resourceVersion !== null && { resourceVersion }) };
        const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background', preconditions };
        await this.#transport.call('DELETE', objectPath(action.key), { body });
        return null;
      }
    }
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
