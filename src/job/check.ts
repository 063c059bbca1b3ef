import type { z } from 'zod';
import { isMap, type Json } from './canonical.ts';
import {
  type ContentFinding,
  describeIssue,
  found,
  issuePath,
  suggestionFor,
  unknownField,
  valueAt,
} from './finding.ts';
import { foreignFindings } from './kinds.ts';
import type { PlainDocument } from './plain-document.ts';
import { formatPath, isInside, type Path } from './problem.ts';
import { fieldNames, type Schema } from './schema-fields.ts';
import { MAX_DEPTH } from './yaml-text.ts';

/** What documents of one kind must be. */
export interface Definition<T> {
  readonly kind: string;
  readonly schema: z.ZodType<T>;
  /** Rules that the schema does not know, of a value that it takes. */
  readonly furtherFindings?: (value: T) => readonly ContentFinding[];
  /** Rules between the fields that are right, of a document in which `wrong` are not. */
  readonly remainingFindings?: (root: Json, wrong: readonly Path[]) => readonly ContentFinding[];
}

/** Content that is what its definition says, or what keeps it from being that. */
export interface Checked<T> {
  readonly value: T | null;
  readonly findings: readonly ContentFinding[];
}

type Issue = z.core.$ZodIssue;

const isFlink = (path: Path): boolean => formatPath(path) === 'spec.flink';

/** One sentence for each place, and none for the container that is missing because another engine is asked for. */
function withoutConsequences(findings: readonly ContentFinding[]): ContentFinding[] {
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
function misspelt(issues: readonly Issue[], root: Json, schema: Schema): { path: Path; meant: string }[] {
  const unknown = issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys' ? issue.keys.map((key): Path => [...issuePath(issue), key]) : [],
  );
  const taken = new Set<string>();
  return unknown.flatMap((path) => {
    const meant = suggestionFor(path, schema);
    const target = [...path.slice(0, -1), meant ?? ''];
    if (meant === null || taken.has(formatPath(target)) || valueAt(root, target) !== undefined) return [];
    taken.add(formatPath(target));
    return [{ path, meant }];
  });
}

/** Takes misspelt fields for what they mean and says so, level by level. Afterwards the content is checked as meant. */
function correctSpelling(plain: PlainDocument, schema: z.ZodType): ContentFinding[] {
  const findings: ContentFinding[] = [];
  for (let level = 0; level < MAX_DEPTH; level += 1) {
    const issues = schema.safeParse(plain.value).error?.issues ?? [];
    const wrong = misspelt(issues, plain.value, schema);
    if (wrong.length === 0) break;
    for (const { path, meant } of wrong) {
      findings.push({ path, place: 'key', message: unknownField(path, schema) });
      plain.rename(path, meant);
    }
  }
  return findings;
}

const andList = (words: readonly string[]): string => `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;

/**
 * Checks the content of one document. Everything that is wrong by itself is reported at once; what merely follows from it
 * is not. Fields of `plain` that are misspelt are renamed.
 */
export function checkDocument<T>(plain: PlainDocument, definition: Definition<T>): Checked<T> {
  const { kind, schema } = definition;
  const root = plain.value;
  if (!isMap(root)) {
    const message = `found ${found(root, [])}, expected a ${kind}: a map of ${andList(fieldNames(schema))}`;
    return { value: null, findings: plain.refused.length > 0 ? [] : [{ path: [], place: 'value', message }] };
  }
  const foreign = foreignFindings(root, kind);
  if (foreign.length > 0) return { value: null, findings: foreign };
  const asWritten = schema.safeParse(root);
  if (asWritten.success && plain.refused.length === 0) {
    const findings = definition.furtherFindings?.(asWritten.data) ?? [];
    return { value: findings.length === 0 ? asWritten.data : null, findings };
  }
  const spelling = correctSpelling(plain, schema);
  const parsed = spelling.length === 0 ? asWritten : schema.safeParse(root);
  const described = (parsed.error?.issues ?? []).flatMap((issue) => describeIssue(issue, root, schema));
  const unsaid = described.filter(({ path }) => !plain.refused.some((other) => isInside(path, other)));
  const own = withoutConsequences(unsaid);
  const wrong = [...plain.refused, ...own.map((finding) => finding.path)];
  return { value: null, findings: [...spelling, ...own, ...(definition.remainingFindings?.(root, wrong) ?? [])] };
}
