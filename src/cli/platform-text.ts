import type { PlatformRevision } from '../job/goal.ts';
import { jobName } from '../job/ids.ts';
import type { PlatformContent } from '../job/platform.ts';
import { printable } from '../job/problem.ts';
import type { PlatformReceipt } from '../ports/store.ts';
import { changesText, fieldChanges, patchText, specPath } from './field-changes.ts';
import { asJson, scopeName } from './layer-words.ts';
import { ageOf, table } from './output.ts';
import type { Impact } from './platform-impact.ts';
import { countOf, type DryRun } from './receipts.ts';

/** What the platform says and said, for people and for programs. Pure. */

const SHOWN = 5;

/** `platform configured (tenant ads, revision 2)` */
export const platformReceiptLine = ({ tenant, revision, outcome }: PlatformReceipt, dryRun: DryRun): string =>
  `platform ${outcome}${dryRun === 'none' ? '' : ' (dry run)'} (${scopeName(tenant)}, revision ${revision})\n`;

const said = (value: object): string => {
  const json = asJson(value);
  return Object.keys(value).length === 0 || json === null ? '' : patchText(json);
};

/** The table of `platform get`. @param now milliseconds since 1970 */
export const platformTable = (platforms: readonly PlatformRevision[], now: number): string =>
  table(
    ['TENANT', 'REVISION', 'AUTHOR', 'AGE', 'REASON', 'DEFAULTS', 'LIMITS'],
    platforms.map((it) => [
      it.tenant ?? '*',
      String(it.revision),
      it.author,
      ageOf(it.createdAt, now),
      it.reason ?? '',
      said(it.content.defaults),
      said(it.content.limits),
    ]),
  );

const changeOf = (content: PlatformContent, before: PlatformContent | undefined): string =>
  before === undefined ? 'created' : changesText(fieldChanges(asJson(before), asJson(content)));

/** The table of `platform history`, oldest first. @param now milliseconds since 1970 */
export const platformHistoryTable = (revisions: readonly PlatformRevision[], now: number): string =>
  table(
    ['REVISION', 'AUTHOR', 'SOURCE', 'AGE', 'REASON', 'CHANGE'],
    revisions.map((it, index) => [
      String(it.revision),
      it.author,
      it.source,
      ageOf(it.createdAt, now),
      it.reason ?? '',
      changeOf(it.content, revisions[index - 1]?.content),
    ]),
  );

export const platformObject = (it: PlatformRevision): unknown => ({
  tenant: it.tenant,
  revision: it.revision,
  author: it.author,
  source: it.source,
  reason: it.reason,
  createdAt: it.createdAt.toISOString(),
  defaults: it.content.defaults,
  limits: it.content.limits,
});

/** Jobs that would be refused, with the first few by name and why; empty when there are none. */
export function refusedText({ refused }: Impact): string {
  if (refused.length === 0) return '';
  const lines = refused.slice(0, SHOWN).map(({ goal, problems }) => {
    const first = problems[0];
    const why = first ? `: ${specPath(first.path)} is ${first.found}, expected ${first.expected}` : '';
    return `  ${printable(`${jobName(goal.job)}${why}`)}\n`;
  });
  const more = refused.length > SHOWN ? `  and ${refused.length - SHOWN} more\n` : '';
  const goals = refused.map(({ goal }) => goal);
  return `${countOf(goals)} that ${goals.length === 1 ? 'is' : 'are'} there would be refused, so ${goals.length === 1 ? 'its cell stays as it is' : 'their cells stay as they are'}:\n${lines.join('')}${more}`;
}

/** How many cells would change; empty when none. */
export const changedText = ({ changed }: Impact): string =>
  changed.length === 0
    ? ''
    : `The goal of ${countOf(changed)} becomes another: ${changed.length === 1 ? 'its cell changes' : 'their cells change'}.`;
