import { canonicalJson } from '../job/canonical.ts';
import type { Goal, GoalProblem, PlatformLayers, PlatformRevision } from '../job/goal.ts';
import { revision } from '../job/ids.ts';
import { effectiveGoal } from '../job/layers.ts';
import type { PlatformContent } from '../job/platform.ts';

/** What new defaults and limits of the platform do to the jobs that are there. Pure. */

/** What is to be written to one scope. */
export interface PlatformChange {
  /** A tenant; null for all. */
  readonly tenant: string | null;
  readonly content: PlatformContent;
}

export interface Impact {
  /** Jobs whose merged goal becomes another one, so that their cells change. */
  readonly changed: readonly Goal[];
  /** Jobs whose merged goal is refused from then on, and was not before: their cells stay as they are. */
  readonly refused: readonly { readonly goal: Goal; readonly problems: readonly GoalProblem[] }[];
}

const asRevision = ({ tenant, content }: PlatformChange, before: PlatformRevision | null): PlatformRevision => ({
  tenant,
  content,
  contentHash: '',
  revision: revision((before?.revision ?? 0) + 1),
  author: '',
  source: 'cli',
  reason: null,
  idempotencyKey: null,
  createdAt: new Date(0),
});

export function impactOf(goals: readonly Goal[], changes: readonly PlatformChange[]): Impact {
  const changeOf = (tenant: string | null) => changes.find((it) => it.tenant === tenant);
  const scopeAfter = (tenant: string | null, before: PlatformRevision | null): PlatformRevision | null => {
    const change = changeOf(tenant);
    return change ? asRevision(change, before) : before;
  };
  const changed: Goal[] = [];
  const refused: { goal: Goal; problems: readonly GoalProblem[] }[] = [];
  for (const goal of goals) {
    const after: PlatformLayers = {
      all: scopeAfter(null, goal.platform.all),
      tenant: scopeAfter(goal.job.tenant, goal.platform.tenant),
    };
    const content = effectiveGoal(goal.layers, after);
    if (content.kind === 'refused') {
      if (goal.content.kind !== 'refused') refused.push({ goal, problems: content.problems });
    } else if (canonicalJson(content) !== canonicalJson(goal.content)) changed.push(goal);
  }
  return { changed, refused };
}
