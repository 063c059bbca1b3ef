import { listSchema } from '../src/cluster/decode.ts';
import type { Transport } from '../src/cluster/transport.ts';
import type { JobName, StoreId } from '../src/job/ids.ts';
import { cellNamespace } from '../src/plan/names.ts';
import type { ObservedPod } from '../src/plan/observation.ts';
import { reducePod } from '../src/plan/pods.ts';

/** What is read of the workers themselves, past Bulkhead: pods and their counters. */

const METRICS_PORT = 8080;
const COUNTER = /^worker_events_processed_total (\S+)$/m;

export interface Sample {
  readonly atMs: number;
  readonly events: number;
}

export class Cells {
  readonly #api: Transport;
  readonly #storeId: StoreId;

  constructor(api: Transport, storeId: StoreId) {
    this.#api = api;
    this.#storeId = storeId;
  }

  get api(): Transport {
    return this.#api;
  }

  namespace(job: JobName): string {
    return cellNamespace(this.#storeId, job);
  }

  async pods(job: JobName): Promise<ObservedPod[]> {
    const page = listSchema.parse(await this.#api.call('GET', `/api/v1/namespaces/${this.namespace(job)}/pods`));
    return (page.items ?? []).map(reducePod).filter((pod) => !pod.terminating);
  }

  async restarts(job: JobName): Promise<number> {
    return (await this.pods(job)).reduce((sum, pod) => sum + pod.restarts, 0);
  }

  /** How many events the workers of a job have processed so far, summed over its pods. */
  async sample(job: JobName): Promise<Sample> {
    const pods = await this.pods(job);
    const counts = await Promise.all(pods.map((pod) => this.#counter(pod)));
    return { atMs: performance.now(), events: counts.reduce((a, b) => a + b, 0) };
  }

  async #counter(pod: ObservedPod): Promise<number> {
    const path = `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}:${METRICS_PORT}/proxy/metrics`;
    const lines: string[] = [];
    for await (const line of this.#api.lines(path, {}, AbortSignal.timeout(10_000))) lines.push(line);
    const value = Number(COUNTER.exec(lines.join('\n'))?.[1]);
    if (!Number.isFinite(value)) throw new Error(`${pod.name} shows no worker_events_processed_total`);
    return value;
  }
}

/** Events per second between two samples. */
export const rate = (from: Sample, to: Sample): number => ((to.events - from.events) / (to.atMs - from.atMs)) * 1000;
