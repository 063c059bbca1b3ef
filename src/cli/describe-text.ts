import { type GoalContent, type JobRevision, layerOf, newestRevision } from '../job/goal.ts';
import { jobName } from '../job/ids.ts';
import { printable } from '../job/problem.ts';
import type { ReplicaInfo } from '../ports/shards.ts';
import type { BrakeState, KnownCluster, StoredEvent } from '../ports/store.ts';
import { specPath } from './field-changes.ts';
import { type JobView, writtenSpec } from './jobs.ts';
import { keeperLines } from './keeper-text.ts';
import { changeOf, isActive, layersText, platformText, SOURCES } from './layer-words.ts';
import { age, ageOf, fields, indent, table, toYamlText } from './output.ts';
import { type LivePlan, stepLines } from './plan-text.ts';
import { ownerLine } from './replicas.ts';

/** What `describe` says of one job: four questions, one section each. Pure: no clock, no I/O. */

export interface Description {
  readonly view: JobView;
  readonly replicas: readonly ReplicaInfo[];
  readonly brake: BrakeState;
  readonly cluster: KnownCluster | null;
  readonly live: LivePlan;
  /** Oldest first. */
  readonly events: readonly StoredEvent[];
  /** Milliseconds since 1970. */
  readonly now: number;
}

const section = (title: string, body: string): string => `\n${title}\n${indent(body)}`;

const printableLines = (text: string): string => text.split('\n').map(printable).join('\n');

const refusedText = (content: GoalContent): string =>
  content.kind === 'refused'
    ? `Refused (${content.because}), so the cell stays as it is:\n${content.problems
        .map((p) => `  ${specPath(p.path)}: found ${printable(p.found)}, expected ${printable(p.expected)}\n`)
        .join('')}`
    : '';

/** What lies above the job's own spec; nothing where nothing does. */
function layerTable({ view: { goal }, now }: Description): string {
  const above = [goal.layers.scaler, goal.layers.oncall].filter(isActive);
  if (above.length === 0) return '';
  const rows = above.map((it: JobRevision) => [
    layerOf(it.content),
    String(it.revision),
    it.author,
    ageOf(it.createdAt, now),
    it.reason ?? '',
    changeOf(it, null),
  ]);
  const lines = table(['LAYER', 'REVISION', 'AUTHOR', 'AGE', 'REASON', 'SAYS'], rows);
  return `Above it (merged by: bulkhead explain ${jobName(goal.job)}):\n${indent(lines)}`;
}

function goalSection(description: Description): string {
  const { goal } = description.view;
  const newest = newestRevision(goal);
  const isRemoved = goal.layers.job.content.kind === 'tombstone';
  const what = isRemoved ? `${goal.revision}, which removes the job` : `${goal.revision} (${layersText(goal.layers)})`;
  const waits = description.brake.waiting.some(({ id }) => id === goal.job.id);
  const platform = platformText(goal.platform);
  const head = fields([
    ['Revision', what],
    ['Set by', `${newest.author}, ${SOURCES[newest.source]}${newest.takeOver ? ', taking over from others' : ''}`],
    ['When', `${ageOf(newest.createdAt, description.now)} ago (${newest.createdAt.toISOString()})`],
    ['Why', newest.reason ?? 'no reason was given'],
    ...(platform === '' ? [] : [['Platform', platform] as const]),
    ...(waits ? [['Brake', 'holds the removal back; see: bulkhead brake'] as const] : []),
  ]);
  const spec = writtenSpec(goal);
  const written = spec === null ? '' : `Spec:\n${indent(printableLines(toYamlText(spec)))}`;
  return section('Goal:', head + refusedText(goal.content) + written + layerTable(description));
}

function observedSection({ view: { goal, seen }, replicas, cluster, now }: Description): string {
  const ownership = ownerLine(replicas, goal.job.id);
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
  const kept = keeperLines(status.keepers ?? []).map((line) => `${printable(line)}\n`);
  const keepers = kept.length > 0 ? `Kept by others:\n${indent(kept.join(''))}` : '';
  return section('Observed:', `${head}Conditions:\n${indent(conditions)}${keepers}`);
}

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
