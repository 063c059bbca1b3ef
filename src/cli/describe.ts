import type { Command } from 'commander';
import type { Goal } from '../job/goal.ts';
import { actionText, actionWhy } from '../plan/actions.ts';
import { plan } from '../plan/plan.ts';
import { action, type Context } from './context.ts';
import { describeText, type LivePlan } from './describe-text.ts';
import { sentence } from './errors.ts';
import { requireGoal, viewsOf } from './jobs.ts';
import { observeCell } from './live-cell.ts';
import { type GlobalOptions, parseJob } from './options.ts';
import { print } from './output.ts';

const EVENTS = 10;

/** Looks at the cell and plans, as the operator would; whatever stands in the way is told, not thrown. */
async function livePlan(context: Context, goal: Goal): Promise<LivePlan> {
  const { storeId } = await context.store();
  try {
    const { transport, identity } = await context.cluster();
    const observed = await observeCell(transport, storeId, goal);
    const actions = plan({ storeId, goal, observed, now: Date.now() });
    const steps = actions.map((step) => ({ action: actionText(step), why: actionWhy(step) }));
    return { kind: 'planned', contextName: identity.contextName, steps };
  } catch (error) {
    return { kind: 'unknown', why: sentence(error, context.place) };
  }
}

async function describe(context: Context, options: GlobalOptions, names: string[]): Promise<void> {
  const store = await context.store();
  const goals = await Promise.all(names.map((name) => requireGoal(store, parseJob(name, options))));
  const [views, operator, cluster] = await Promise.all([
    viewsOf(store, goals),
    context.leaseHolder(),
    store.currentCluster(),
  ]);
  for (const [index, view] of views.entries()) {
    const [live, events] = await Promise.all([
      livePlan(context, view.goal),
      store.events({ jobId: view.goal.job.id, limit: EVENTS }),
    ]);
    const text = describeText({ view, operator, cluster, live, events, now: Date.now() });
    await print(`${index > 0 ? '\n\n' : ''}${text}`);
  }
}

export function addDescribeCommand(program: Command): void {
  program
    .command('describe')
    .description('Tell of a job: its goal and who set it, what was seen, what is next and why, what happened lately')
    .argument('<jobs...>', 'NAME or TENANT/NAME')
    .action(action<GlobalOptions>(describe));
}
