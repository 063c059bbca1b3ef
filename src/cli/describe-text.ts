import type { Goal } from '../job/goal.ts';
import { printable } from '../job/problem.ts';
import type { NextStep } from '../job/status.ts';
import type { KnownCluster, StoredEvent } from '../ports/store.ts';
import { type JobView, orderedSpec } from './jobs.ts';
import type { LeaseHolder } from './lease-holder.ts';
import { age, ageOf, fields, indent, table, toYamlText } from './output.ts';

/** What `describe` says of one job: four questions, one section each. Pure: no clock, no I/O. */

export interface Description {
  readonly view: JobView;
  readonly operator: LeaseHolder | null;
  readonly cluster: KnownCluster | null;
  readonly live: LivePlan;
  /** Oldest first. */
  readonly events: readonly StoredEvent[];
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** The plan made from a look at the cluster just now, or why there is none. */
export type LivePlan =
  | { readonly kind: 'planned'; readonly contextName: string; readonly steps: readonly NextStep[] }
  | { readonly kind: 'unknown'; readonly why: string };

const SOURCES: Readonly<Record<Goal['source'], string>> = {
  cli: 'with the bulkhead command',
  api: 'through the HTTP API',
  kubectl: 'with kubectl',
  rollback: 'by a rollback',
  scaler: 'by the scaler',
  oncall: 'by someone on call',
  system: 'by Bulkhead itself',
};

const NO_OPERATOR = 'none runs, so nothing is done and what was seen may be outdated; start one with: bulkhead run';

const section = (title: string, body: string): string => `\n${title}\n${indent(body)}`;

const printableLines = (text: string): string => text.split('\n').map(printable).join('\n');

function goalSection({ view: { goal }, now }: Description): string {
  const head = fields([
    ['Revision', goal.content.kind === 'tombstone' ? `${goal.revision}, which removes the job` : `${goal.revision}`],
    ['Set by', `${goal.author}, ${SOURCES[goal.source]}`],
    ['When', `${ageOf(goal.createdAt, now)} ago (${goal.createdAt.toISOString()})`],
    ['Why', goal.reason ?? 'no reason was given'],
  ]);
  const spec = orderedSpec(goal);
  return section('Goal:', spec === null ? head : `${head}Spec:\n${indent(printableLines(toYamlText(spec)))}`);
}

function observedSection({ view: { goal, seen }, operator, cluster, now }: Description): string {
  const ownership = operator ? `${operator.owner} owns the work (epoch ${operator.epoch})` : NO_OPERATOR;
  if (!seen) return section('Observed:', `Nothing was seen of this job yet.\n${fields([['Operator', ownership]])}`);
  const { status, updatedAt } = seen;
  const { ready, desired, restarts } = status.workers;
  const behind = status.observedRevision === goal.revision ? '' : `; revision ${goal.revision} was not looked at yet`;
  const known = cluster?.id === status.clusterId ? ` (context ${cluster.contextName}, ${cluster.server})` : '';
  const head = fields([
    ['Revision', `${status.observedRevision}${behind}`],
    ['Phase', status.phase],
    ['Workers', `${ready} of ${desired} ready, ${restarts} ${restarts === 1 ? 'restart' : 'restarts'}`],
    ['Cell', `namespace ${status.cell}`],
    ['Cluster', `${status.clusterId}${known}`],
    ['Seen', `${ageOf(updatedAt, now)} ago (${updatedAt.toISOString()}); written when something changes`],
    ['Operator', ownership],
  ]);
  const conditions = table(
    ['TYPE', 'STATUS', 'SINCE', 'REASON', 'MESSAGE'],
    status.conditions.map((c) => [c.type, c.status, age(Date.parse(c.lastTransitionTime), now), c.reason, c.message]),
  );
  return section('Observed:', `${head}Conditions:\n${indent(conditions)}`);
}

const stepLines = (steps: readonly NextStep[]): string =>
  steps.map(({ action, why }) => `${printable(action)}: ${printable(why)}\n`).join('');

function nextSection({ view: { seen }, live }: Description): string {
  const stored = seen ? stepLines(seen.status.next) : 'nothing is known: no operator has looked at this job yet\n';
  const now =
    live.kind === 'planned'
      ? `From a look at the cluster just now (context ${live.contextName}):\n${indent(stepLines(live.steps))}`
      : `A look at the cluster just now was not possible:\n${indent(`${printable(live.why)}\n`)}`;
  return section('Next:', `As the operator said last:\n${indent(stored)}${now}`);
}

export function eventTable(events: readonly StoredEvent[], now: number): string {
  return table(
    ['AGE', 'TYPE', 'REASON', 'REVISION', 'MESSAGE'],
    events.map((e) => [ageOf(e.at, now), e.type, e.reason, String(e.revision), e.message]),
  );
}

function eventSection({ events, now }: Description): string {
  return section('Events:', events.length === 0 ? 'none\n' : eventTable(events, now));
}

/** What is the goal and who set it, what was observed, what will be done next and why, what happened lately. */
export function describeText(description: Description): string {
  const { job } = description.view.goal;
  const head = fields([
    ['Name', job.name],
    ['Tenant', job.tenant],
    ['Job id', job.id],
  ]);
  const sections = [goalSection, observedSection, nextSection, eventSection];
  return head + sections.map((write) => write(description)).join('');
}
