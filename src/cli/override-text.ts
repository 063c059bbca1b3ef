import type { JobRevision, OverlayContent } from '../job/goal.ts';
import { type JobRef, jobName } from '../job/ids.ts';
import { contentText } from './content-text.ts';
import { isActive, untilText } from './layer-words.ts';
import { age, ageOf, fields, indent } from './output.ts';

/** The on-call layer of one job, for people and for programs. Pure. */

type Override = JobRevision<OverlayContent> | null;

/** How long it still holds: `until 2026-11-23T14:00Z (in 2h)`. */
function endText(content: OverlayContent, now: number): string {
  if (content.kind === 'cleared' || content.layer !== 'oncall' || content.until === null) return untilText(null);
  const left = content.until.getTime() - now;
  return `${untilText(content.until)} (${left > 0 ? `in ${age(now, content.until.getTime())}` : 'it ends any moment'})`;
}

/** What `override JOB` prints; empty where there is none. @param now milliseconds since 1970 */
export function overrideText(job: JobRef, override: Override, now: number): string {
  if (!isActive(override)) return '';
  const head = fields([
    ['Job', jobName(job)],
    ['Revision', `oncall@${override.revision}`],
    ['Set by', `${override.author}, ${ageOf(override.createdAt, now)} ago (${override.createdAt.toISOString()})`],
    ['Why', override.reason ?? 'no reason was given'],
    ['Holds', endText(override.content, now)],
  ]);
  const patch = contentText(job, override.content).replace(/^#.*\n/, '');
  return `${head}Sets:\n${indent(patch)}`;
}

export const overrideObject = (job: JobRef, override: Override): unknown => ({
  tenant: job.tenant,
  name: job.name,
  override:
    isActive(override) && override.content.kind === 'patch' && override.content.layer === 'oncall'
      ? {
          revision: override.revision,
          author: override.author,
          source: override.source,
          reason: override.reason,
          createdAt: override.createdAt.toISOString(),
          until: override.content.until?.toISOString() ?? null,
          patch: override.content.patch,
        }
      : null,
});
