import { join } from 'node:path';
import { listSchema } from '../../src/cluster/decode.ts';
import type { Transport } from '../../src/cluster/transport.ts';
import type { ObservedPod } from '../../src/plan/observation.ts';
import { reducePod } from '../../src/plan/pods.ts';
import { down, type KindCluster, up } from '../cluster/index.ts';
import { localkube } from '../cluster/localkube.ts';
import { run } from '../cluster/progress.ts';
import type { LocalCluster } from '../cluster/types.ts';

/** What tests with real pods have in common: the kind cluster, the commands that people use, and a look at the pods. */

const CHECKOUT = join(import.meta.dirname, '../..');
const CALL_LIMIT_MS = 10_000;

/** With BULKHEAD_KEEP=1 the cluster stays, for the next file or the next run; what a test put there goes all the same. */
export const KEEP = process.env.BULKHEAD_KEEP === '1';

/** The cluster that all end-to-end tests share, with these images in it. */
export async function sharedKind(images: readonly string[]): Promise<KindCluster> {
  const cluster = await up('kind');
  await cluster.loadImages(images);
  return cluster;
}

export async function leaveKind(): Promise<void> {
  if (!KEEP) await down('kind');
}

/** Runs a command to its end. @returns its stdout. @throws CommandError with what it said when it fails */
export type Command = (...args: string[]) => Promise<string>;

/** `bulkhead …` as a user runs it, on that database and cluster. */
export const bulkheadOn =
  (databaseUrl: string, cluster: KindCluster): Command =>
  (...args) =>
    run(process.execPath, [join(CHECKOUT, 'src/cli/main.ts'), ...args], {
      env: { DATABASE_URL: databaseUrl, KUBECONFIG: cluster.kubeconfigPath, NO_COLOR: '1' },
    });

/** `kubectl …` on that cluster. */
export async function kubectlOn(cluster: Pick<LocalCluster, 'kubeconfigPath'>): Promise<Command> {
  const binary = await localkube();
  return (...args) => run(binary, ['kubectl', ...args], { cwd: CHECKOUT, env: { KUBECONFIG: cluster.kubeconfigPath } });
}

/** The pods of a namespace that are not about to end. */
export async function podsIn(api: Transport, namespace: string): Promise<ObservedPod[]> {
  const page = listSchema.parse(await api.call('GET', `/api/v1/namespaces/${namespace}/pods`));
  return (page.items ?? []).map(reducePod).filter((pod) => !pod.terminating);
}

/** How many events an example worker has processed, as it says itself at /metrics. */
export async function eventsProcessed(api: Transport, pod: ObservedPod): Promise<number> {
  const path = `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}:8080/proxy/metrics`;
  for await (const line of api.lines(path, {}, AbortSignal.timeout(CALL_LIMIT_MS))) {
    const count = /^worker_events_processed_total (\d+)$/.exec(line)?.[1];
    if (count !== undefined) return Number(count);
  }
  throw new Error(`${pod.name} shows no worker_events_processed_total`);
}
