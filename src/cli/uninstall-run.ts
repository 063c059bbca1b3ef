import { requireYes } from './confirm.ts';
import type { Context } from './context.ts';
import type { GlobalOptions } from './options.ts';
import { print, say } from './output.ts';
import {
  cellNamespaces,
  devPostgres,
  type Found,
  keepaliveObjects,
  sharedObjects,
  streamJobs,
  systemNamespace,
} from './uninstall-objects.ts';
import { type Step, takeStep, uninstallSteps } from './uninstall-steps.ts';

export interface UninstallOptions extends GlobalOptions {
  readonly keepWorkers?: true;
  readonly purge?: true;
  readonly dryRun?: true;
  readonly yes?: true;
}

/** Names in a line of the plan; of many, the rest is counted. */
const NAMED = 4;

function listed(objects: readonly Found[]): string {
  const names = objects.slice(0, NAMED).map(({ text }) => text);
  return [...names, ...(objects.length > NAMED ? [`${objects.length - NAMED} more`] : [])].join(', ');
}

interface Planned {
  readonly step: Step;
  readonly objects: readonly Found[];
}

interface Plan {
  readonly steps: readonly Planned[];
  readonly keepalive: readonly Found[];
  /** Which of the two files brings back what was here. */
  readonly installFile: string;
  readonly text: string;
}

/** What there is, and what would be done with it, in order. @throws ClusterError */
async function makePlan(context: Context, options: UninstallOptions): Promise<Plan> {
  const api = await context.transport();
  const wanted = { keepWorkers: options.keepWorkers === true, purge: options.purge === true };
  const steps: Planned[] = [];
  for (const step of uninstallSteps(wanted)) steps.push({ step, objects: await step.find(api) });
  const cells = [...(await cellNamespaces(api)), ...(await sharedObjects(api))];
  const [jobs, namespace, postgres, keepalive] = await Promise.all([
    streamJobs(api),
    systemNamespace(api),
    devPostgres(api),
    options.purge ? [] : keepaliveObjects(api),
  ]);
  const going = steps.filter(({ objects }) => objects.length > 0);
  const lines = going.map(({ step, objects }) => `  ${step.what}: ${listed(objects)}`);
  const { contextName, server } = api.target;
  const text = [
    `From ${server} (context ${contextName}) go, in this order:`,
    ...lines,
    'What that means:',
    ...(jobs.length > 0 ? [`  ${jobs.length} StreamJobs go; their goals stay in Postgres`] : []),
    ...(cells.length > 0 ? [`  ${cellsText(cells, wanted.keepWorkers)}`] : []),
    ...(namespace.length > 0
      ? ['  Secret bulkhead-database, which says where Postgres is, goes with its namespace']
      : []),
    ...(postgres.length > 0 ? ['  namespace bulkhead-postgres stays: the goals are in its Postgres'] : []),
    '  an operator outside the cluster (bulkhead run) is not stopped by this: stop it yourself',
    '',
  ].join('\n');
  const installFile = postgres.length > 0 ? 'install-dev.yaml' : 'install.yaml';
  return { steps: going, keepalive, installFile, text };
}

const cellsText = (cells: readonly Found[], isKept: boolean): string =>
  isKept ? `workers go on running, in ${listed(cells)}, with nobody to look after them` : 'every worker is stopped';

/** Removes Bulkhead from a cluster, and never a goal from Postgres, which it does not even ask for. */
export async function uninstall(context: Context, options: UninstallOptions): Promise<void> {
  const plan = await makePlan(context, options);
  if (plan.steps.length === 0) {
    say(`Nothing of Bulkhead is left in context ${context.place?.contextName} to remove.`);
    return sayKept(plan);
  }
  if (options.dryRun) return print(plan.text);
  say(plan.text.trimEnd());
  await requireYes('Remove all of it?', options);
  const api = await context.transport();
  const { keepWorkers = false, purge = false } = options;
  for (const step of uninstallSteps({ keepWorkers, purge })) {
    const startedAt = performance.now();
    const count = await takeStep(api, step, (left) => say(`  ${step.what}: ${left} left …`));
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    if (count > 0) say(`Gone: ${step.what} (${count} in ${seconds} s).`);
  }
  sayKept(plan);
  say(
    'Bulkhead is uninstalled. The goals are in Postgres as they were: install again with the same database ' +
      `(kubectl apply --server-side -f ${plan.installFile}) and every job comes back.`,
  );
}

function sayKept({ keepalive }: Plan): void {
  if (keepalive.length === 0) return;
  say(
    'Kept: the admission policy bulkhead-keepalive, which matches nothing. Without it this API server would not keep ' +
      'to the fence of a Bulkhead that comes back before it is restarted (kubernetes/kubernetes#130887); --purge removes it too.',
  );
}
