import type { Command } from 'commander';
import { decodeObject, listSchema } from '../cluster/decode.ts';
import { collectionPath } from '../cluster/paths.ts';
import type { Transport } from '../cluster/transport.ts';
import { parseJobId, type StoreId } from '../job/ids.ts';
import type { Tier } from '../job/tier.ts';
import { type CellKind, isTerminating, LABELS, MANAGER, type ObservedObject, SHARED_KINDS } from '../plan/objects.ts';
import type { GoalCatalog } from '../ports/store.ts';
import { action, type Context } from './context.ts';
import { type GlobalOptions, outputOption } from './options.ts';
import { age, print, say, table, toJsonText } from './output.ts';

const PAGE_SIZE = '500';

/** A cell of this store whose job the store does not know. Nobody but a person deletes it. */
export interface Orphan {
  readonly tier: Tier;
  /** Where it lies: a namespace of its own, or its tenant's. */
  readonly namespace: string;
  readonly jobId: string;
  readonly tenant: string;
  readonly job: string;
  readonly createdAt: string;
  readonly terminating: boolean;
}

async function listAll(transport: Transport, kind: CellKind, storeId: StoreId): Promise<ObservedObject[]> {
  const labelSelector = `${LABELS.managedBy}=${MANAGER},${LABELS.store}=${storeId}`;
  const found: ObservedObject[] = [];
  let next: string | undefined;
  do {
    const query = { labelSelector, limit: PAGE_SIZE, ...(next !== undefined && { continue: next }) };
    const page = listSchema.parse(await transport.call('GET', collectionPath(kind), { query }));
    found.push(...(page.items ?? []).map((item) => decodeObject(kind, item)));
    next = page.metadata.continue || undefined;
  } while (next !== undefined);
  return found;
}

/**
 * One object for each cell of a store: its namespace in tier `namespace`, any object of it in tier `shared`.
 * @throws ClusterError
 */
export async function storeCells(transport: Transport, storeId: StoreId): Promise<ObservedObject[]> {
  const [namespaces, ...others] = await Promise.all(
    (['Namespace', ...SHARED_KINDS] as const).map((kind) => listAll(transport, kind, storeId)),
  );
  const own = new Set(namespaces?.map(({ metadata }) => metadata.name));
  const shared = others.flat().filter(({ metadata }) => !own.has(metadata.namespace ?? ''));
  const byCell = new Map(
    shared.map((object) => [`${object.metadata.namespace}/${labelOf(object, LABELS.jobId)}`, object]),
  );
  return [...(namespaces ?? []), ...byCell.values()];
}

const labelOf = (object: ObservedObject, label: string): string => object.metadata.labels?.[label] ?? '';

/** Those of `cells` whose job the store has never had. Removed jobs are known: their cells go by themselves. */
export async function orphansAmong(cells: readonly ObservedObject[], store: GoalCatalog): Promise<Orphan[]> {
  const ids = cells.flatMap((object) => parseJobId(labelOf(object, LABELS.jobId)) ?? []);
  const known: ReadonlySet<string> = ids.length > 0 ? await store.knows(ids) : new Set();
  return cells
    .filter((object) => !known.has(labelOf(object, LABELS.jobId)))
    .map((object) => ({
      tier: object.kind === 'Namespace' ? 'namespace' : 'shared',
      namespace: object.metadata.namespace ?? object.metadata.name,
      jobId: labelOf(object, LABELS.jobId),
      tenant: labelOf(object, LABELS.tenant),
      job: labelOf(object, LABELS.job),
      createdAt: object.metadata.creationTimestamp ?? '',
      terminating: isTerminating(object),
    }));
}

/** Workers first, as kubectl deletes in the order in which kinds are named. */
const deleteCommand = ({ tier, namespace, jobId }: Orphan): string =>
  tier === 'namespace'
    ? `delete namespace ${namespace}`
    : `-n ${namespace} delete deployments,services,poddisruptionbudgets,networkpolicies,serviceaccounts -l ${LABELS.jobId}=${jobId}`;

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
      it.terminating ? 'is being deleted' : `${kubectl} ${deleteCommand(it)}`,
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
  if (options.output === 'name') return print([...new Set(orphans.map(({ namespace }) => `${namespace}\n`))].join(''));
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
