import type { z } from 'zod';
import { isMap, type Json } from './canonical.ts';
import { effectiveProblems, effectiveSpec } from './defaults.ts';
import { describeIssue, found, issuePath, type JobFinding, suggestionFor, unknownField, valueAt } from './finding.ts';
import type { GoalProblem } from './goal.ts';
import type { PlainDocument } from './plain-document.ts';
import { formatPath, isInside, type Path, quoted } from './problem.ts';
import { withoutWrong } from './repair.ts';
import { API_VERSION, type JobSpec, jobSpecSchema, KIND, type StreamJob, streamJobSchema } from './spec.ts';
import { MAX_DEPTH } from './yaml-text.ts';

/** Content that is a job, or what keeps it from being one. */
export interface CheckedJob {
  readonly job: StreamJob | null;
  readonly findings: readonly JobFinding[];
}

type Issue = z.core.$ZodIssue;

const isFlink = (path: Path): boolean => formatPath(path) === 'spec.flink';

/** One sentence for each place, and none for the container that is missing because another engine is asked for. */
function withoutConsequences(findings: readonly JobFinding[]): JobFinding[] {
  const asksForFlink = findings.some(({ path }) => isFlink(path));
  const said = new Set(asksForFlink ? ['spec.container'] : []);
  return findings.filter(({ path }) => {
    const key = formatPath(path);
    const isFirst = !said.has(key);
    said.add(key);
    return isFirst;
  });
}

/** Misspelt fields, each once: what was meant is absent. */
function misspelt(issues: readonly Issue[], root: Json): { path: Path; meant: string }[] {
  const unknown = issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key): Path => [...issuePath(issue), key]) : [],
  );
  const taken = new Set<string>();
  return unknown.flatMap((path) => {
    const meant = suggestionFor(path);
    const target = [...path.slice(0, -1), meant ?? ''];
    if (meant === null || taken.has(formatPath(target)) || valueAt(root, target) !== undefined) return [];
    taken.add(formatPath(target));
    return [{ path, meant }];
  });
}

/** Takes misspelt fields for what they mean and says so, level by level. Afterwards the content is checked as meant. */
function correctSpelling(plain: PlainDocument): JobFinding[] {
  const findings: JobFinding[] = [];
  for (let level = 0; level < MAX_DEPTH; level += 1) {
    const issues = streamJobSchema.safeParse(plain.value).error?.issues ?? [];
    const wrong = misspelt(issues, plain.value);
    if (wrong.length === 0) break;
    for (const { path, meant } of wrong) {
      findings.push({ path, place: 'key', message: unknownField(path) });
      plain.rename(path, meant);
    }
  }
  return findings;
}

const describeEffective = ({ path, found, expected }: GoalProblem): JobFinding => ({
  path,
  place: 'value',
  message: `found ${found}, expected ${expected}`,
});

/** The merged goal's rules, as far as they speak of values that are right by themselves. */
function effectiveFindings(spec: JobSpec, wrong: readonly Path[]): JobFinding[] {
  return effectiveProblems(effectiveSpec(spec))
    .filter(({ path }) => !wrong.some((other) => isInside(other, path.slice(0, 3))))
    .map(describeEffective);
}

/** Rules between fields, in a document of which something is wrong: the definition stops before it comes to them. */
function remainingFindings(root: Json, wrong: readonly Path[]): JobFinding[] {
  const again = jobSpecSchema.safeParse(withoutWrong(root, wrong).spec);
  const issues = (again.error?.issues ?? []).map((issue): Issue => ({ ...issue, path: ['spec', ...issue.path] }));
  const added = issues
    .filter((issue) => issue.code === 'custom')
    .flatMap((issue) => describeIssue(issue, root))
    .filter(({ path }) => !wrong.some((other) => isInside(other, path)));
  const allWrong = [...wrong, ...issues.map(issuePath)];
  const rest = jobSpecSchema.safeParse(withoutWrong(root, allWrong).spec);
  return rest.success ? [...added, ...effectiveFindings(rest.data, allWrong)] : added;
}

/** An object of something else, such as a Deployment: its fields are no mistakes, only that it is here. */
function foreignFindings(root: Readonly<Record<string, Json>>): JobFinding[] {
  const { apiVersion, kind } = root;
  const group = `${API_VERSION.split('/')[0]}/`;
  if (typeof kind !== 'string' || typeof apiVersion !== 'string') return [];
  if (kind === KIND || apiVersion.startsWith(group)) return [];
  return [
    { path: ['apiVersion'], place: 'value', message: `found ${quoted(apiVersion)}, expected ${API_VERSION}` },
    { path: ['kind'], place: 'value', message: `found ${quoted(kind)}, expected ${KIND}` },
  ];
}

/**
 * Checks the content of one document: every field, the rules between fields, and the goal with its defaults filled in.
 * Everything that is wrong by itself is reported at once; what merely follows from it is not. Fields of `plain` that
 * are misspelt are renamed.
 */
export function checkJob(plain: PlainDocument): CheckedJob {
  const root = plain.value;
  if (!isMap(root)) {
    const message = `found ${found(root, [])}, expected a ${KIND}: a map of apiVersion, kind, metadata and spec`;
    return { job: null, findings: plain.refused.length > 0 ? [] : [{ path: [], place: 'value', message }] };
  }
  const foreign = foreignFindings(root);
  if (foreign.length > 0) return { job: null, findings: foreign };
  const spelling = correctSpelling(plain);
  const parsed = streamJobSchema.safeParse(root);
  if (parsed.success && spelling.length === 0 && plain.refused.length === 0) {
    const findings = effectiveFindings(parsed.data.spec, []);
    return { job: findings.length === 0 ? parsed.data : null, findings };
  }
  const described = (parsed.error?.issues ?? []).flatMap((issue) => describeIssue(issue, root));
  const unsaid = described.filter(({ path }) => !plain.refused.some((other) => isInside(path, other)));
  const own = withoutConsequences(unsaid);
  const wrong = [...plain.refused, ...own.map((finding) => finding.path)];
  return { job: null, findings: [...spelling, ...own, ...remainingFindings(root, wrong)] };
}
