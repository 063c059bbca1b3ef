import type { z } from 'zod';
import type { Json } from './canonical.ts';
import type { Definition } from './check.ts';
import { effectiveProblems, effectiveSpec } from './defaults.ts';
import { type ContentFinding, describeIssue, issuePath } from './finding.ts';
import type { GoalProblem } from './goal.ts';
import { isInside, type Path } from './problem.ts';
import { withoutWrong } from './repair.ts';
import { type JobSpec, jobSpecSchema, KIND, type StreamJob, streamJobSchema } from './spec.ts';

type Issue = z.core.$ZodIssue;

/** Whether the job itself says both sides of the rule: what it leaves out, a layer below may say otherwise. */
function isWritten(spec: JobSpec, { path }: GoalProblem): boolean {
  const name = path.at(-1);
  const limits = spec.workers?.resources?.limits;
  return (name === 'cpu' || name === 'memory') && limits?.[name] !== undefined;
}

/** The merged goal's rules, as far as they speak of values that are right by themselves. */
function effectiveFindings(spec: JobSpec, wrong: readonly Path[]): ContentFinding[] {
  return effectiveProblems(effectiveSpec(spec))
    .filter((problem) => isWritten(spec, problem))
    .filter(({ path }) => !wrong.some((other) => isInside(other, path.slice(0, 3))))
    .map(({ path, found, expected }) => ({ path, place: 'value', message: `found ${found}, expected ${expected}` }));
}

/** Rules between fields, in a document of which something is wrong: the definition stops before it comes to them. */
function remainingFindings(root: Json, wrong: readonly Path[]): ContentFinding[] {
  const again = jobSpecSchema.safeParse(withoutWrong(root, wrong).spec);
  const issues = (again.error?.issues ?? []).map((issue): Issue => ({ ...issue, path: ['spec', ...issue.path] }));
  const added = issues
    .filter((issue) => issue.code === 'custom')
    .flatMap((issue) => describeIssue(issue, root, streamJobSchema))
    .filter(({ path }) => !wrong.some((other) => isInside(other, path)));
  const allWrong = [...wrong, ...issues.map(issuePath)];
  const rest = jobSpecSchema.safeParse(withoutWrong(root, allWrong).spec);
  return rest.success ? [...added, ...effectiveFindings(rest.data, allWrong)] : added;
}

/** A document with a job: every field, the rules between fields, and those of the merged goal that it breaks alone. */
export const JOB_DEFINITION: Definition<StreamJob> = {
  kind: KIND,
  schema: streamJobSchema,
  furtherFindings: (job) => effectiveFindings(job.spec, []),
  remainingFindings,
};
