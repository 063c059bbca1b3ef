import type { Transport } from '../../src/cluster/transport.ts';
import { MERGE_PATCH } from '../../src/cluster/transport.ts';
import { breakGlass } from '../../test/support/break-glass.ts';
import { type Lab, ObjectWatcher, type SeenEvent, WATCHED } from '../lab/index.ts';

const AT_ONCE = 8;
/** What it wrote itself: the status has caught up with the spec. */
const OBSERVED = /"observedGeneration":(\d+)/;
const REPLICAS = /"spec":\{"replicas":(\d+)/;

/**
 * Says of every Deployment of a cell that its workers are ready, as Kubernetes' controllers would in the end, without a
 * single pod: so that ten thousand jobs run on a machine which could not hold their workers.
 */
export class ReadyWorkers {
  readonly #api: Transport;
  readonly #watcher: ObjectWatcher;
  /** Newest by name: a Deployment that changes while it waits is written once. */
  readonly #waiting = new Map<string, SeenEvent>();
  readonly #running = new Set<Promise<void>>();
  #failure: Error | undefined;

  private constructor(api: Transport, watcher: ObjectWatcher) {
    this.#api = api;
    this.#watcher = watcher;
    watcher.on((event) => {
      if (event.type === 'DELETED' || Number(OBSERVED.exec(event.line)?.[1] ?? 0) >= event.generation) return;
      this.#waiting.set(`${event.namespace}/${event.name}`, event);
      this.#go();
    });
  }

  static async start(lab: Lab): Promise<ReadyWorkers> {
    const options = { kinds: [WATCHED.deployments], labelSelector: 'bulkhead.dev/job-id', initial: true };
    return new ReadyWorkers(await breakGlass(lab.cluster), await ObjectWatcher.open(lab, options));
  }

  /** @throws Error when a status could not be written */
  requireSound(): void {
    if (this.#failure) throw this.#failure;
  }

  #go(): void {
    for (const [key, event] of this.#waiting) {
      if (this.#running.size >= AT_ONCE) return;
      this.#waiting.delete(key);
      const work: Promise<void> = this.#write(event)
        .catch((error: unknown) => {
          this.#failure ??= error instanceof Error ? error : new Error(String(error));
        })
        .finally(() => {
          this.#running.delete(work);
          this.#go();
        });
      this.#running.add(work);
    }
  }

  async #write({ namespace, name, generation, line }: SeenEvent): Promise<void> {
    const replicas = Number(REPLICAS.exec(line)?.[1] ?? 1);
    const counts = { replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas };
    await this.#api.call('PATCH', `/apis/apps/v1/namespaces/${namespace}/deployments/${name}/status`, {
      contentType: MERGE_PATCH,
      body: { status: { observedGeneration: generation, ...counts } },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watcher[Symbol.asyncDispose]();
    this.#waiting.clear();
    await Promise.all(this.#running);
    await this.#api.close();
  }
}
