import { z } from 'zod';
import { MERGE_PATCH, type Transport } from '../../src/cluster/transport.ts';
import { ClusterError } from '../../src/ports/cluster.ts';

/** What it wants instead: more workers than any job here asks for. */
const REPLICAS = 7;
const DEPLOYMENTS = '/apis/apps/v1/deployments';
/** Ended by the server each minute, and begun anew with all that is there: one that had fallen silent undid nothing any more. */
const WATCH = { watch: '1', timeoutSeconds: '60' };

const eventSchema = z.object({
  type: z.string(),
  object: z.object({
    metadata: z.object({ name: z.string(), namespace: z.string() }),
    spec: z.object({ replicas: z.number().optional() }),
  }),
});

/** Somebody with rights of their own who wants Deployments otherwise, and undoes each write that says differently. */
export class Undoer {
  readonly #api: Transport;
  readonly #abort = new AbortController();
  #namespaces: ReadonlySet<string> = new Set();
  #watching: Promise<void>;
  /** How often it has had its way. */
  writes = 0;

  constructor(api: Transport) {
    this.#api = api;
    this.#watching = this.#watch();
  }

  start(namespaces: ReadonlySet<string>): void {
    this.#namespaces = namespaces;
  }

  stop(): void {
    this.#namespaces = new Set();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    this.#abort.abort();
    await this.#watching;
    await this.#api.close();
  }

  async #watch(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        for await (const line of this.#api.lines(DEPLOYMENTS, WATCH, this.#abort.signal)) {
          if (this.#namespaces.size > 0) this.#look(line);
        }
      } catch (error) {
        // A watch ends now and then, and begins anew with all that is there.
        if (!(error instanceof ClusterError)) throw error;
      }
    }
  }

  #look(line: string): void {
    const { success, data } = eventSchema.safeParse(JSON.parse(line));
    if (!success || data.type === 'DELETED') return;
    const { metadata, spec } = data.object;
    if (!this.#namespaces.has(metadata.namespace) || spec.replicas === REPLICAS) return;
    void this.#undo(`/apis/apps/v1/namespaces/${metadata.namespace}/deployments/${metadata.name}`);
  }

  async #undo(path: string): Promise<void> {
    try {
      await this.#api.call('PATCH', path, { body: { spec: { replicas: REPLICAS } }, contentType: MERGE_PATCH });
      this.writes += 1;
    } catch (error) {
      // The next write of the object brings the next chance.
      if (!(error instanceof ClusterError)) throw error;
    }
  }
}
