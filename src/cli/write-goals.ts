import type { Goal, PlatformLayers } from '../job/goal.ts';
import { type JobName, jobName } from '../job/ids.ts';
import type { ChangeOrigin, GoalCatalog, GoalChange, GoalReceipt, HistoryReader } from '../ports/store.ts';
import type { Context } from './context.ts';
import { foresee, goalAfter } from './foresight.ts';
import { livePlan, planFromNothing } from './live-plan.ts';
import { indent, print, toJsonText } from './output.ts';
import { type LivePlan, stepLines } from './plan-text.ts';
import { type DryRun, receiptLine, receiptObject, receiptText } from './receipts.ts';
import type { WaitTarget } from './wait.ts';

/** Above this many jobs of one tenant, all of its goals are read by one query instead of one by one. */
const FEW = 5;

/** The goals of these jobs as they are now, by name; those that are not there are left out. */
export async function readGoals(store: GoalCatalog, names: readonly JobName[]): Promise<Map<string, Goal>> {
  const byTenant = Map.groupBy(names, ({ tenant }) => tenant);
  const found = await Promise.all(
    [...byTenant].map(async ([tenant, jobs]) =>
      jobs.length > FEW ? store.list({ tenant }) : Promise.all(jobs.map((job) => store.find(job))),
    ),
  );
  return new Map(found.flat().flatMap((goal) => (goal ? [[jobName(goal.job), goal] as const] : [])));
}

/** What the platform says about jobs of these tenants that are not there yet. */
export async function platformsOf(store: HistoryReader): Promise<(tenant: string) => PlatformLayers> {
  const all = await store.platforms();
  const of = (tenant: string | null) => all.find((it) => it.tenant === tenant) ?? null;
  return (tenant) => ({ all: of(null), tenant: of(tenant) });
}

interface Foreseen {
  readonly receipt: GoalReceipt;
  readonly plan: LivePlan;
  /** What would be done if nothing were there; for a plan that is unknown. */
  readonly fromNothing: (LivePlan & { readonly kind: 'planned' }) | null;
}

/** The plans to which changes would lead, each from a look at its cell just now. */
async function plansOf(
  context: Context,
  { changes, origin, goals }: Change,
  receipts: readonly GoalReceipt[],
): Promise<Foreseen[]> {
  const platform = await platformsOf(await context.store());
  const foreseen: Foreseen[] = [];
  let unreachable: LivePlan | null = null;
  // One after the other: a file may hold thousands of jobs, and each look asks for a dozen lists.
  for (const [index, receipt] of receipts.entries()) {
    const change = changes[index];
    const goal = goals.get(jobName(receipt.job)) ?? null;
    const after = change && goalAfter(goal, change, receipt, origin, platform(receipt.job.tenant));
    if (!after || receipt.outcome === 'unchanged' || receipt.outcome === 'absent') continue;
    // A cluster that does not answer is not asked again for each of the others.
    const plan: LivePlan = unreachable ?? (await livePlan(context, after));
    unreachable = plan.kind === 'unknown' ? plan : null;
    const steps = unreachable && (await planFromNothing(context, after));
    foreseen.push({ receipt, plan, fromNothing: steps && { kind: 'planned', contextName: '', steps } });
  }
  return foreseen;
}

/** One plan under its receipt. */
export function foreseenText({ receipt, plan, fromNothing }: Foreseen): string {
  const head = receiptLine(receipt, 'server');
  if (plan.kind === 'planned') {
    return `${head}  From a look at the cluster just now (context ${plan.contextName}):\n${indent(stepLines(plan.steps), '    ')}`;
  }
  const steps = indent(stepLines(fromNothing?.steps ?? []), '    ');
  return `${head}  A look at the cluster just now was not possible: ${plan.why}.\n  If nothing of the cell were there:\n${steps}`;
}

export interface WriteOptions {
  readonly dryRun: DryRun;
  readonly output?: 'name' | 'json';
}

/** What a command changes, and what it read before it did. */
export interface Change {
  readonly changes: readonly GoalChange[];
  readonly origin: ChangeOrigin;
  /** By name, as {@link readGoals} gives them. */
  readonly goals: ReadonlyMap<string, Goal>;
}

/** `output` of a dry run on the server: what would be stored, and the plans to which it would lead. */
function serverText(receipts: readonly GoalReceipt[], foreseen: readonly Foreseen[], output: WriteOptions['output']) {
  if (output === 'name') return receiptText(receipts, output, 'server');
  const byName = new Map(foreseen.map((it) => [jobName(it.receipt.job), it]));
  const of = (receipt: GoalReceipt) => byName.get(jobName(receipt.job));
  if (output === undefined) {
    const text = (receipt: GoalReceipt, it = of(receipt)) => (it ? foreseenText(it) : receiptLine(receipt, 'server'));
    return receipts.map((receipt) => text(receipt)).join('');
  }
  return toJsonText(
    receipts.map((receipt) => {
      const it = of(receipt);
      const plan = it && { ...it.plan, ...(it.fromNothing && { fromNothing: it.fromNothing.steps }) };
      return { ...receiptObject(receipt, 'server'), ...(plan && { plan }) };
    }),
  );
}

/** The change with the removed jobs that it would bring back. */
async function withRemoved(store: GoalCatalog, change: Change): Promise<Change> {
  const missing = change.changes.filter(({ job }) => !change.goals.has(jobName(job)));
  const removed = await Promise.all(missing.map(({ job }) => store.findRemoved(job)));
  const goals = removed.flatMap((it) => (it ? [[jobName(it.goal.job), it.goal] as const] : []));
  return { ...change, goals: new Map([...change.goals, ...goals]) };
}

async function foreseeAll(context: Context, given: Change, { dryRun, output }: WriteOptions): Promise<GoalReceipt[]> {
  const change = await withRemoved(await context.store(), given);
  const { changes, origin, goals } = change;
  if (dryRun === 'client') {
    const receipts = changes.map((it) => foresee(goals.get(jobName(it.job)) ?? null, it));
    await print(receiptText(receipts.filter(isThere), output, dryRun));
    return receipts;
  }
  const receipts = await (await context.store()).write(changes, origin, { dryRun: true });
  const foreseen = output === 'name' ? [] : await plansOf(context, change, receipts);
  await print(serverText(receipts.filter(isThere), foreseen, output));
  return receipts;
}

/**
 * Stores changes, or says what they would do, and prints a receipt for each but those of jobs that are not there.
 * @returns the receipts, of a dry run those that would be
 * @throws StoreError
 */
export async function writeGoals(context: Context, change: Change, options: WriteOptions): Promise<GoalReceipt[]> {
  if (options.dryRun !== 'none') return foreseeAll(context, change, options);
  const receipts = await (await context.store()).write(change.changes, change.origin);
  await print(receiptText(receipts.filter(isThere), options.output, 'none'));
  return receipts;
}

const isThere = ({ outcome }: GoalReceipt): boolean => outcome !== 'absent';

export const targetsOf = (receipts: readonly GoalReceipt[]): WaitTarget[] =>
  receipts.flatMap(({ job, id, revision: at }) =>
    id !== null && at !== null ? [{ job: { ...job, id }, revision: at }] : [],
  );
