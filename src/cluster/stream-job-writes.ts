import type { StoreId } from '../job/ids.ts';
import { withQuantitiesAsText } from '../job/object-spec.ts';
import { API_VERSION, KIND } from '../job/spec.ts';
import { MANAGER } from '../plan/objects.ts';
import {
  finalizerOf,
  type ObservedStreamJob,
  STREAM_JOB_ANNOTATIONS,
  type StreamJobAction,
} from '../plan/stream-job.ts';
import { type Fence, writtenBy } from '../ports/shards.ts';
import { streamJobPath, streamJobsPath } from './paths.ts';
import { type Caller, JSON_PATCH } from './transport.ts';

const QUERY = { fieldManager: MANAGER, fieldValidation: 'Strict' };

type Operation = { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown };

const pointer = (...steps: readonly string[]): string =>
  steps.map((step) => `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** Refused with 409 once the object is not as it was seen any more, or is another one. */
const asSeen = ({ resourceVersion }: ObservedStreamJob): Operation => ({
  op: 'replace',
  path: '/metadata/resourceVersion',
  value: resourceVersion,
});

function annotate(object: ObservedStreamJob, annotations: Readonly<Record<string, string>>): Operation[] {
  if (!object.isAnnotated) {
    return [{ op: 'add', path: '/metadata/annotations', value: annotations }];
  }
  return Object.entries(annotations).map(([key, value]) => ({
    op: 'add',
    path: pointer('metadata', 'annotations', key),
    value,
  }));
}

const setFinalizers = (finalizers: readonly string[]): Operation => ({
  op: 'add',
  path: '/metadata/finalizers',
  value: finalizers,
});

/** The writes of one store to its StreamJobs: each says under which epoch it is made. */
export class StreamJobWrites {
  readonly #caller: Caller;
  readonly #storeId: StoreId;

  constructor(caller: Caller, storeId: StoreId) {
    this.#caller = caller;
    this.#storeId = storeId;
  }

  /** @returns the API server's answer; null for a namespace and after a delete. @throws ClusterError */
  async execute(action: StreamJobAction, fence: Fence): Promise<unknown> {
    const annotations = { [STREAM_JOB_ANNOTATIONS.writtenBy]: writtenBy(this.#storeId, fence) };
    const finalizer = finalizerOf(this.#storeId);
    switch (action.do) {
      case 'create': {
        const { tenant, name } = action.job;
        const metadata = { name, namespace: tenant, finalizers: [finalizer], annotations };
        const body = { apiVersion: API_VERSION, kind: KIND, metadata, spec: withQuantitiesAsText(action.spec) };
        return this.#caller.call('POST', streamJobsPath(tenant), { query: QUERY, body });
      }
      case 'claim': {
        const { object } = action;
        const finalizers = [...object.finalizers.filter((it) => it !== finalizer), finalizer];
        return this.#patch(object, [...annotate(object, annotations), setFinalizers(finalizers)]);
      }
      case 'release': {
        const { object } = action;
        return this.#patch(object, [...annotate(object, annotations), setFinalizers(others(object, finalizer))]);
      }
      case 'writeSpec': {
        const { object, spec } = action;
        return this.#patch(object, [
          ...annotate(object, annotations),
          { op: 'replace', path: '/spec', value: withQuantitiesAsText(spec) },
        ]);
      }
      case 'writeStatus': {
        const { object, status } = action;
        return this.#patch(object, [{ op: 'add', path: '/status', value: status }], '/status');
      }
      case 'discard':
        await this.#discard(action.object, [
          ...annotate(action.object, annotations),
          setFinalizers(others(action.object, finalizer)),
        ]);
        return null;
      case 'makeNamespace': {
        const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: action.name } };
        await this.#caller.call('POST', '/api/v1/namespaces', { query: QUERY, body });
        return null;
      }
    }
  }

  #patch(object: ObservedStreamJob, operations: readonly Operation[], subresource = ''): Promise<unknown> {
    return this.#caller.call('PATCH', `${streamJobPath(object.job)}${subresource}`, {
      query: QUERY,
      body: [asSeen(object), ...operations],
      contentType: JSON_PATCH,
    });
  }

  /** Our finalizer goes first: an object that still has it would be taken for deleted by somebody who means it. */
  async #discard(object: ObservedStreamJob, operations: readonly Operation[]): Promise<void> {
    const answer = await this.#patch(object, operations);
    const { resourceVersion } = (answer as { metadata: { resourceVersion: string } }).metadata;
    const preconditions = { uid: object.uid, resourceVersion };
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions };
    await this.#caller.call('DELETE', streamJobPath(object.job), { body });
  }
}

const others = (object: ObservedStreamJob, finalizer: string): string[] =>
  object.finalizers.filter((it) => it !== finalizer);
