import type { ExplainedField, FieldOrigin } from '../job/explain.ts';
import type { Goal } from '../job/goal.ts';
import { jobName } from '../job/ids.ts';
import { printable } from '../job/problem.ts';
import type { FieldKeeper } from '../job/status.ts';
import { specPath } from './field-changes.ts';
import { keeperLines } from './keeper-text.ts';
import { layersText, platformText } from './layer-words.ts';
import { table } from './output.ts';

/** Where each field of a job comes from, for people and for programs. Pure. */

const HEADER = ['FIELD', 'VALUE', 'FROM', 'REVISION', 'AUTHOR', 'REASON'];
const MAX_VALUE = 60;

const short = (text: string): string => (text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text);

const originCells = (from: FieldOrigin): string[] =>
  from.scope === 'built-in'
    ? ['built-in', '-', '-', '-']
    : [from.scope, String(from.revision), from.author, from.reason ?? '-'];

/** @param withOverridden also what a higher layer hides, in rows of their own under the field */
function rowsOf({ path, value, from, overridden, removedBy }: ExplainedField, withOverridden: boolean): string[][] {
  const hidden = overridden.map((it) => ['  hides', short(it.value), ...originCells(it.from)]);
  const more = !withOverridden && overridden.length > 0 ? ` (+${overridden.length} hidden)` : '';
  const row = [path, `${value === null ? '(taken away)' : short(value)}${more}`, ...originCells(from)];
  // The built-in value is back because a layer took away what others said: that layer is who to ask.
  const remover = removedBy ? [['  since', '(taken away)', ...originCells(removedBy)]] : [];
  return [row, ...remover, ...(withOverridden ? hidden : [])];
}

/** What keeps the merged goal from being acted on; empty where nothing does. */
export function refusalText({ job, content }: Goal): string {
  if (content.kind !== 'refused') return '';
  const why = content.because === 'LimitExceeded' ? "exceeds the platform's limits" : 'contradicts itself';
  const lines = content.problems.map(
    (p) => `  ${specPath(p.path)}: found ${printable(p.found)}, expected ${printable(p.expected)}\n`,
  );
  return `${jobName(job)} ${why} (${content.because}), so its cell stays as it is:\n${lines.join('')}`;
}

/** Limits that hold for the job, one a line: nothing overrides them. */
export function limitLines({ platform }: Goal): string[] {
  return [platform.all, platform.tenant].flatMap((scope) => {
    if (!scope) return [];
    const { workers, images } = scope.content.limits;
    const from = `platform${scope.tenant === null ? '' : ` of ${scope.tenant}`}@${scope.revision}`;
    const limits: (readonly [string, string | number | undefined])[] = [
      ['workers.replicas', workers?.replicas],
      ['workers.resources.limits.cpu', workers?.resources?.cpu],
      ['workers.resources.limits.memory', workers?.resources?.memory],
    ];
    return [
      ...limits.flatMap(([field, most]) => (most === undefined ? [] : [`${field} at most ${most} (${from})`])),
      ...(images ? [`container.image begins with ${images.join(' or ')} (${from})`] : []),
    ];
  });
}

/** Lines under a title; empty where there are none. */
const block = (title: string, lines: readonly string[]): string =>
  lines.length > 0 ? `${title}\n${lines.map((line) => `  ${printable(line)}\n`).join('')}` : '';

/** What `explain` prints. @param keepers who else keeps fields of the job's StreamJob */
export function explainText(
  goal: Goal,
  fields: readonly ExplainedField[],
  withOverridden: boolean,
  keepers: readonly FieldKeeper[] = [],
): string {
  const parts = [
    refusalText(goal),
    table(
      HEADER,
      fields.flatMap((field) => rowsOf(field, withOverridden)),
    ),
    block('Limits:', limitLines(goal)),
    block('Kept by others:', keeperLines(keepers)),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

const originObject = (from: FieldOrigin): unknown =>
  from.scope === 'built-in' ? from : { ...from, createdAt: from.createdAt.toISOString() };

export const explainObject = (
  goal: Goal,
  fields: readonly ExplainedField[],
  keepers: readonly FieldKeeper[] = [],
): unknown => ({
  tenant: goal.job.tenant,
  name: goal.job.name,
  id: goal.job.id,
  revision: goal.revision,
  layers: layersText(goal.layers),
  platform: platformText(goal.platform),
  fields: fields.map(({ path, value, from, overridden, removedBy }) => ({
    path,
    value,
    from: originObject(from),
    ...(removedBy && { removedBy: originObject(removedBy) }),
    overridden: overridden.map((it) => ({ value: it.value, from: originObject(it.from) })),
  })),
  limits: [goal.platform.all, goal.platform.tenant].flatMap((scope) =>
    scope ? [{ tenant: scope.tenant, revision: scope.revision, ...scope.content.limits }] : [],
  ),
  keepers: keepers.map(({ manager, fields: kept }) => ({ manager, fields: kept })),
  refused: goal.content.kind === 'refused' ? { because: goal.content.because, problems: goal.content.problems } : null,
});
