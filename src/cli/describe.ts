import type { Command } from 'commander';
import { action, type Context } from './context.ts';
import { describeText } from './describe-text.ts';
import { requireGoal, viewsOf } from './jobs.ts';
import { livePlan } from './live-plan.ts';
import { type GlobalOptions, parseJob } from './options.ts';
import { print } from './output.ts';

const EVENTS = 10;

async function describe(context: Context, options: GlobalOptions, names: string[]): Promise<void> {
  const store = await context.store();
  const goals = await Promise.all(names.map((name) => requireGoal(store, parseJob(name, options))));
  const [views, replicas, brake, cluster] = await Promise.all([
    viewsOf(store, goals),
    store.replicas(),
    store.brakeState(),
    store.currentCluster(),
  ]);
  for (const [index, view] of views.entries()) {
    const [live, events] = await Promise.all([
      livePlan(context, view.goal),
      store.events({ jobId: view.goal.job.id, limit: EVENTS }),
    ]);
    const text = describeText({ view, replicas, brake, cluster, live, events, now: Date.now() });
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
