import type { z } from 'zod';
import type { Json } from './canonical.ts';
import { type EffectiveProblem, effectiveProblems, effectiveSpec } from './defaults.ts';
import { describeIssue, found, isMap, issuePath, type JobFinding, suggestionFor, valueAt } from './finding.ts';
import { formatPath, type Path } from './problem.ts';
import { withoutWrong } from './repair.ts';
import { API_VERSION, type JobSpec, jobSpecSchema, KIND, type StreamJob, streamJobSchema } from './spec.ts';

/** Content that is a job, or what keeps it from being one. */
export interface CheckedJob {
  readonly job: StreamJob | null;
  readonly findings: readonly JobFinding[];
}

type Issue = z.core.$ZodIssue;

const startsWith = (path: Path, head: Path): boolean => head.every((step, index) => path[index] === step);

/** Leaves out what only follows from another mistake: a second rule for one value, a field missing for its misspelling. */
function withoutConsequences(findings: readonly JobFinding[], root: Json): JobFinding[] {
  const said = new Set<string>();
  const meant = new Set<string>();
  for (const { path, place } of findings) {
    if (place !== 'key') continue;
    const near = formatPath(path) === 'spec.flink' ? 'container' : suggestionFor(path);
    if (near !== null) meant.add(formatPath([...path.slice(0, -1), near]));
  }
  return findings.filter(({ path }) => {
    const key = formatPath(path);
    const isConsequence = said.has(key) || (meant.has(key) && valueAt(root, path) === undefined);
    said.add(key);
    return !isConsequence;
  });
}

function describeEffective(problem: EffectiveProblem, root: Json): JobFinding {
  const isDefault = valueAt(root, problem.path) === undefined;
  const what = `${problem.found}${isDefault ? ' (the default)' : ''}`;
  return { path: problem.path, place: 'value', message: `found ${what}, expected ${problem.expected}` };
}

/** The merged goal's rules, as far as they speak of values that are right by themselves. */
function effectiveFindings(spec: JobSpec, root: Json, wrong: readonly Path[]): JobFinding[] {
  return effectiveProblems(effectiveSpec(spec))
    .filter(({ path }) => !wrong.some((other) => startsWith(other, path.slice(0, 3))))
    .map((problem) => describeEffective(problem, root));
}

/** Rules between fields, in a document of which something is wrong: the definition stops before it comes to them. */
function remainingFindings(root: Json, wrong: readonly Path[]): JobFinding[] {
  const again = jobSpecSchema.safeParse(withoutWrong(root, wrong).spec);
  const issues = (again.error?.issues ?? []).map((issue): Issue => ({ ...issue, path: ['spec', ...issue.path] }));
  const added = issues
    .filter((issue) => issue.code === 'custom')
    .flatMap((issue) => describeIssue(issue, root))
    .filter(({ path }) => !wrong.some((other) => startsWith(other, path)));
  const allWrong = [...wrong, ...issues.map(issuePath)];
  const rest = jobSpecSchema.safeParse(withoutWrong(root, allWrong).spec);
  return rest.success ? [...added, ...effectiveFindings(rest.data, root, allWrong)] : added;
}

function foreignFindings(root: Json, findings: readonly JobFinding[]): JobFinding[] | null {
  if (!isMap(root) || typeof root.kind !== 'string' || typeof root.apiVersion !== 'string') return null;
  const group = API_VERSION.split('/')[0] ?? '';
  if (root.kind === KIND || root.apiVersion.startsWith(`${group}/`)) return null;
  return findings.filter(({ path }) => path.length === 1 && (path[0] === 'kind' || path[0] === 'apiVersion'));
}

/**
 * Checks the content of one document: every field, the rules between fields, and the goal with its defaults filled in.
 * Everything that is wrong by itself is reported at once; what merely follows from it is not.
 * @param refused paths that have been complained about already; null stands there
 */
export function checkJob(root: Json, refused: readonly Path[]): CheckedJob {
  if (!isMap(root)) {
    const message = `found ${found(root, [])}, expected a ${KIND}: a map of apiVersion, kind, metadata and spec`;
    return { job: null, findings: refused.length > 0 ? [] : [{ path: [], place: 'value', message }] };
  }
  const parsed = streamJobSchema.safeParse(root);
  const described = (parsed.error?.issues ?? []).flatMap((issue) => describeIssue(issue, root));
  const foreign = foreignFindings(root, described);
  if (foreign !== null) return { job: null, findings: foreign };
  if (parsed.success && refused.length === 0) {
    const findings = effectiveFindings(parsed.data.spec, root, []);
    return { job: findings.length === 0 ? parsed.data : null, findings };
  }
  const unsaid = described.filter(({ path }) => !refused.some((other) => startsWith(path, other)));
  const own = withoutConsequences(unsaid, root);
  return { job: null, findings: [...own, ...remainingFindings(root, [...refused, ...own.map((f) => f.path)])] };
}
