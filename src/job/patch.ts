import { z } from 'zod';
import { AssignmentError, readAssignment } from './assignments.ts';
import type { Json } from './canonical.ts';
import { type ContentFinding, describeIssue } from './finding.ts';
import { compose } from './merge.ts';
import { specPatchSchema } from './patch-schema.ts';
import { formatPath, printable, shownText } from './problem.ts';

/** A change of a spec as plain data: what `merge` takes. See merge.ts for its rules. */
export type SpecPatch = { readonly [field: string]: Json };

/** A patch, or what keeps it from being one: a sentence each, beginning with the place. */
export type ParsedPatch =
  | { readonly patch: SpecPatch; readonly problems: readonly [] }
  | { readonly patch: null; readonly problems: readonly string[] };

/** Paths begin with `spec`, as everywhere. */
const rootSchema = z.strictObject({ spec: specPatchSchema });

const result = (patch: SpecPatch, problems: readonly string[]): ParsedPatch =>
  problems.length > 0 ? { patch: null, problems } : { patch, problems: [] };

function findingsOf(value: unknown): ContentFinding[] {
  // The value may be anything; only what the definition takes goes on.
  const root = { spec: value } as Json;
  const issues = rootSchema.safeParse(root).error?.issues ?? [];
  return issues.flatMap((issue) => describeIssue(issue, root, rootSchema));
}

const sentence = ({ path, message }: ContentFinding): string => shownText(`${formatPath(path)}: ${message}`);

/**
 * Checks a patch of a spec: every field as the definition of a spec has it, but none is required, each may be null, and
 * entries of lists by name may say `$remove: true`. Composed patches with their marks are taken as well.
 */
export function parsePatch(value: unknown): ParsedPatch {
  return result(value as SpecPatch, findingsOf(value).map(sentence));
}

/** One assignment as a patch, or what is wrong with it. */
function assign(text: string): { readonly patch: SpecPatch; readonly problems: readonly string[] } {
  const end = text.indexOf('=');
  const left = end === -1 ? text : text.slice(0, end);
  const say = (message: string): string => shownText(`--set ${left}: ${message}`);
  try {
    if (end === -1) throw new AssignmentError('found no =, expected FIELD=VALUE; FIELD=null takes a field away');
    const { patch, path } = readAssignment(left, text.slice(end + 1));
    const findings = findingsOf(patch);
    const isWhole = (finding: ContentFinding) => formatPath(finding.path) === formatPath(path);
    return { patch, problems: findings.map((f) => say(isWhole(f) ? f.message : sentence(f))) };
  } catch (error) {
    if (!(error instanceof AssignmentError)) throw error;
    return { patch: {}, problems: [say(printable(error.message))] };
  }
}

/**
 * Turns `--set` arguments into one patch, the later ones above the earlier: `workers.replicas=3`,
 * `container.env[LOG_LEVEL].value=debug`, `container.env[OLD]=null`, `workers.resources.limits={cpu: 2, memory: 1Gi}`.
 * Values are YAML, but where the definition wants text they are taken letter by letter; `null` takes a field or a named
 * entry away (`"null"` is the word). No problem repeats a value that may be a secret.
 */
export function assignments(texts: readonly string[]): ParsedPatch {
  const read = texts.map(assign);
  return result(
    read.map(({ patch }) => patch).reduce<SpecPatch>(compose, {}),
    read.flatMap(({ problems }) => problems),
  );
}
