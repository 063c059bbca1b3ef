import { jobName } from '../job/ids.ts';
import type { StaleBaseError } from '../ports/store.ts';
import { contentText, NOTHING, unifiedDiff } from './content-text.ts';
import { ageOf } from './output.ts';

/** Two people changed the same layer: who came first, what both want, and what to do. Pure. */

type Sides = Pick<StaleBaseError, 'job' | 'layer' | 'base' | 'current' | 'wanted'>;

/** What is there now against what was to be written, as a unified diff; a word where there are no lines to compare. */
export function staleDiff({ job, current, wanted }: Sides): string {
  const theirs = contentText(job, current?.content ?? null);
  const yours = contentText(job, wanted);
  const name = jobName(job);
  const same = `# ${name} says already what you wanted to write.\n`;
  const diff = unifiedDiff(
    { name: current && theirs !== '' ? `${name}@${current.revision} (theirs)` : NOTHING, text: theirs },
    { name: yours === '' ? NOTHING : `${name} (yours)`, text: yours },
  );
  return diff === '' ? same : diff;
}

function whoCameFirst({ job, layer, base, current }: Sides, now: number): string {
  const name = jobName(job);
  if (!current) {
    const what = layer === 'job' ? `${name} was removed` : `layer ${layer} of ${name} was ended`;
    return `${what} since revision ${base}, from which you started`;
  }
  const since = base === 'none' ? `exists meanwhile: ` : `was changed since revision ${base}: `;
  const why = current.reason === null ? '' : `, because: ${current.reason}`;
  const when = `${ageOf(current.createdAt, now)} ago (${current.createdAt.toISOString()})`;
  const what = current.content.kind === 'tombstone' ? ' (which removes the job)' : '';
  return `${name} ${since}${current.author} stored revision ${current.revision}${what} ${when}${why}`;
}

/** What to do about it. */
function remedy({ job, base, current }: Sides): string {
  const name = jobName(job);
  if (!current) return `look with: bulkhead history ${name}, then try again`;
  const change =
    base === 'none' || base >= current.revision
      ? ''
      : `see their change with: bulkhead diff ${name}@${base} ${name}@${current.revision}; `;
  return `${change}take over what you want to keep of it, then try again (apply: with --base ${current.revision})`;
}

/** One sentence: who, when, which revision, why, and what to do. @param now milliseconds since 1970 */
export const staleSentence = (sides: Sides, now: number): string =>
  `${whoCameFirst(sides, now)}; nothing was stored; ${remedy(sides)}`;
