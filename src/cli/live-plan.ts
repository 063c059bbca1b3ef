import type { Goal } from '../job/goal.ts';
import type { NextStep } from '../job/status.ts';
import { actionText, actionWhy } from '../plan/actions.ts';
import { type CellObservation, EMPTY_OBSERVATION } from '../plan/observation.ts';
import { plan } from '../plan/plan.ts';
import type { Context } from './context.ts';
import { sentence } from './errors.ts';
import { observeCell } from './live-cell.ts';
import type { LivePlan } from './plan-text.ts';

async function stepsFor(context: Context, goal: Goal, observed: CellObservation): Promise<NextStep[]> {
  const { storeId } = await context.store();
  const actions = plan({ storeId, goal, observed, now: Date.now() });
  return actions.map((step) => ({ action: actionText(step), why: actionWhy(step) }));
}

/** Looks at the cell and plans, as the operator would; whatever stands in the way is told, not thrown. */
export async function livePlan(context: Context, goal: Goal): Promise<LivePlan> {
  const { storeId } = await context.store();
  try {
    const { transport, identity } = await context.cluster();
    const steps = await stepsFor(context, goal, await observeCell(transport, storeId, goal));
    return { kind: 'planned', contextName: identity.contextName, steps };
  } catch (error) {
    return { kind: 'unknown', why: sentence(error, context.place) };
  }
}

/** What would be done if nothing of the cell were there. */
export const planFromNothing = (context: Context, goal: Goal): Promise<NextStep[]> =>
  stepsFor(context, goal, EMPTY_OBSERVATION);
