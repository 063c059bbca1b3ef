import type { Command } from 'commander';
import { decodeObject, listSchema } from '../cluster/decode.ts';
import type { Transport } from '../cluster/transport.ts';
import { parseJobId, type StoreId } from '../job/ids.ts';
import { isTerminating, LABELS, MANAGER, type ObservedObject } from '../plan/objects.ts';
import type { GoalCatalog } from '../ports/store.ts';
import { action, type Context } from './context.ts';
import { type GlobalOptions, outputOption } from './options.ts';
import { age, print, say, table, toJsonText } from './output.ts';

const PAGE_SIZE = '500';

/** A cell of this store whose job the store does not know. Nobody but a person deletes it. */
export interface Orphan {
  readonly namespace: string;
  readonly jobId: string;
  readonly tenant: string;
  readonly job: string;
  readonly createdAt: string;
  readonly terminating: boolean;
}

/** All namespaces that carry a store's label. @throws ClusterError */
export async function storeCells(transport: Transport, storeId: StoreId): Promise<ObservedObject[]> {
  const labelSelector = `${LABELS.managedBy}=${MANAGER},${LABELS.store}=${storeId}`;
  const found: ObservedObject[] = [];
  let next: string | undefined;
  do {
    const query = { labelSelector, limit: PAGE_SIZE, ...(next !== undefined && { continue: next }) };
    const page = listSchema.parse(await transport.call('GET', '/api/v1/namespaces', { query }));
    found.push(...(page.items ?? []).map((item) => decodeObject('Namespace', item)));
    next = page.metadata.continue || undefined;
  } while (next !== undefined);
  return found;
}

const labelOf = (object: ObservedObject, label: string): string => object.metadata.labels?.[label] ?? '';

/** Those of `namespaces` whose job the store has never had. Removed jobs are known: their cells go by themselves. */
export async function orphansAmong(namespaces: readonly ObservedObject[], store: GoalCatalog): Promise<Orphan[]> {
  const ids = namespaces.flatMap((object) => parseJobId(labelOf(object, LABELS.jobId)) ?? []);
  const known: ReadonlySet<string> = ids.length > 0 ? await store.knows(ids) : new Set();
  return namespaces
    .filter((object) => !known.has(labelOf(object, LABELS.jobId)))
    .map((object) => ({
      namespace: object.metadata.name,
      jobId: labelOf(object, LABELS.jobId),
      tenant: labelOf(object, LABELS.tenant),
      job: labelOf(object, LABELS.job),
      createdAt: object.metadata.creationTimestamp ?? '',
      terminating: isTerminating(object),
    }));
}

/** @param kubectl how kubectl is called for this cluster. @param now milliseconds since 1970 */
export const orphanTable = (orphans: readonly Orphan[], kubectl: string, now: number): string =>
  table(
    ['NAMESPACE', 'TENANT', 'JOB', 'JOB-ID', 'AGE', 'DELETE-WITH'],
    orphans.map((it) => [
      it.namespace,
      it.tenant,
      it.job,
      it.jobId,
      it.createdAt === '' ? '' : age(Date.parse(it.createdAt), now),
      it.terminating ? 'is being deleted' : `${kubectl} delete namespace ${it.namespace}`,
    ]),
  );

interface OrphanOptions extends GlobalOptions {
  readonly output?: 'name' | 'json';
}

async function listOrphans(context: Context, options: OrphanOptions): Promise<void> {
  const store = await context.store();
  const { transport, identity } = await context.cluster();
  const orphans = await orphansAmong(await storeCells(transport, store.storeId), store);
  const { kubeconfig } = context.target;
  const kubectl = ['kubectl', ...(kubeconfig ? ['--kubeconfig', kubeconfig] : []), '--context', identity.contextName];
  if (options.output === 'json') return print(toJsonText(orphans));
  if (options.output === 'name') return print(orphans.map(({ namespace }) => `${namespace}\n`).join(''));
  if (orphans.length === 0) return say(`No orphans found in context ${identity.contextName}.`);
  await print(orphanTable(orphans, kubectl.join(' '), Date.now()));
}

export function addOrphansCommand(program: Command): void {
  program
    .command('orphans')
    .description('List cells in the cluster that no goal speaks of, and how to delete them; deletes nothing itself')
    .addOption(outputOption('name', 'json'))
    .action(action<OrphanOptions>(listOrphans));
}
