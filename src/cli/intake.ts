import { duplicateJobs, parseDocuments } from '../job/document.ts';
import type { JobName } from '../job/ids.ts';
import { formatProblems, type Position, type Problem } from '../job/problem.ts';
import type { JobSpec } from '../job/spec.ts';
import { CliError } from './errors.ts';
import type { FileOptions, GlobalOptions } from './options.ts';
import { say } from './output.ts';
import { readSources } from './sources.ts';

/** A job that a file describes. */
export interface WrittenJob {
  readonly name: JobName;
  readonly spec: JobSpec;
  readonly position: Position;
}

/** A job of another tenant than -n names: the same check that kubectl makes. */
function strangers(jobs: readonly WrittenJob[], tenant: string | undefined): Problem[] {
  if (tenant === undefined) return [];
  return jobs
    .filter((job) => job.name.tenant !== tenant)
    .map(({ name, position }) => ({
      position,
      path: 'metadata.namespace',
      message: `found ${name.tenant}, expected ${tenant}, the tenant that -n names`,
    }));
}

/**
 * Reads every job of the files that -f names. Any problem in any of them shows all problems of all of them.
 * @throws CliError when there is one; nothing may be stored then
 */
export async function readJobs(options: FileOptions & GlobalOptions): Promise<WrittenJob[]> {
  const paths = options.filename ?? [];
  if (paths.length === 0) throw new CliError('nothing to read: name files, folders or - with -f');
  const sources = await readSources(paths, { recursive: options.recursive === true });
  const files = sources.map(({ name, text }) => parseDocuments(text, name));
  const parsed = files.flatMap((file) => file.jobs);
  const jobs = parsed.map(({ job, position }) => ({
    name: { tenant: job.metadata.namespace, name: job.metadata.name },
    spec: job.spec,
    position,
  }));
  const problems = [
    ...files.flatMap((file) => file.problems),
    ...duplicateJobs(parsed),
    ...strangers(jobs, options.namespace),
  ];
  if (problems.length === 0) return jobs;
  say(formatProblems(problems));
  throw new CliError('nothing was done: correct these problems, then try again');
}
