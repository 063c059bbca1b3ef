import type { Command } from 'commander';
import { brakeLine } from './brake-text.ts';
import { action, type Context } from './context.ts';
import { sentence } from './errors.ts';
import { currentStatus, listGoals, viewsOf } from './jobs.ts';
import type { GlobalOptions } from './options.ts';
import { fields, print } from './output.ts';
import { countOf } from './receipts.ts';
import { operatorLine } from './replicas.ts';

async function clusterLine(context: Context): Promise<string> {
  try {
    const { identity } = await context.cluster();
    return `${identity.server} answers (context ${identity.contextName}, id ${identity.id})`;
  } catch (error) {
    return sentence(error, context.place);
  }
}

async function jobLine(context: Context): Promise<string> {
  const store = await context.store();
  const views = await viewsOf(store, await listGoals(store, null));
  const phases = new Map<string, number>();
  for (const view of views) {
    const phase = currentStatus(view)?.phase ?? 'Unknown';
    phases.set(phase, (phases.get(phase) ?? 0) + 1);
  }
  const counts = [...phases].sort(([a], [b]) => (a < b ? -1 : 1)).map(([phase, count]) => `${count} ${phase}`);
  return counts.length === 0 ? 'none' : `${countOf(views)}: ${counts.join(', ')}`;
}

async function status(context: Context): Promise<void> {
  const store = await context.store();
  const [replicas, brake, jobs, cluster] = await Promise.all([
    store.replicas(),
    store.brakeState(),
    jobLine(context),
    clusterLine(context),
  ]);
  await print(
    fields([
      ['Store', `answers (id ${store.storeId})`],
      ['Operator', operatorLine(replicas)],
      ['Cluster', cluster],
      ['Jobs', jobs],
      ...(brake.waiting.length > 0 ? [['Brake', brakeLine(brake)] as const] : []),
    ]),
  );
}

export function addStatusCommand(program: Command): void {
  program
    .command('status')
    .description('Tell in a few lines whether the store, an operator and the cluster are there, and how the jobs stand')
    .action(action<GlobalOptions>(status));
}
