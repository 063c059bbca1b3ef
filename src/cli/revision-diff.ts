import { toYaml } from '../job/document.ts';
import type { GoalContent, JobRevision, PlatformLayers } from '../job/goal.ts';
import { type JobName, jobName, type Revision } from '../job/ids.ts';
import { asOf, effectiveGoal } from '../job/layers.ts';
import { NOTHING, unifiedDiff } from './content-text.ts';
import { specPath } from './field-changes.ts';

/** A job's merged layers at two moments of its history, line by line. Pure. */

/** A job as it stood when a revision of any of its layers was the newest. */
export interface StandingGoal {
  readonly job: JobName;
  readonly revision: Revision;
  readonly content: GoalContent;
}

/** @returns null when the job has no such revision */
export function standingAt(
  job: JobName,
  history: readonly JobRevision[],
  revision: Revision,
  platform: PlatformLayers,
): StandingGoal | null {
  const layers = asOf(history, revision);
  return layers && { job, revision, content: effectiveGoal(layers, platform) };
}

function textOf({ job, content }: StandingGoal): string {
  switch (content.kind) {
    case 'spec':
      return toYaml({ ...job, spec: content.spec });
    case 'tombstone':
      return '';
    case 'refused':
      return content.problems
        .map((p) => `# ${content.because}: ${specPath(p.path)}: found ${p.found}, expected ${p.expected}\n`)
        .join('');
  }
}

/** As a unified diff; empty when the merged goals are equal. A removed job is compared as nothing. */
export function revisionDiff(before: StandingGoal, after: StandingGoal): string {
  const side = (it: StandingGoal) => ({
    name: it.content.kind === 'tombstone' ? NOTHING : `${jobName(it.job)}@${it.revision}`,
    text: textOf(it),
  });
  return unifiedDiff(side(before), side(after));
}
