import { z } from 'zod';
import { isMap, type Json } from './canonical.ts';
import { formatPath, type Path, printable, quoted } from './problem.ts';
import { fieldNames, pathsOf, type Schema, schemaAt } from './schema-fields.ts';
import { nearest } from './suggest.ts';

type Issue = z.core.$ZodIssue;

/** A mistake in a document's content; `place` says whether it is about a field's name or about its value. */
export interface ContentFinding {
  readonly path: Path;
  readonly place: 'key' | 'value';
  readonly message: string;
}

// People write secrets into these, or name a file that is nothing but one; an error message ends up in logs.
const SECRET_PATHS = /^$|\bcontainer\.(env\[\d+\]\.value|args\b|command\b|probes\.\w+\.exec\b)/;

export const issuePath = (issue: Issue): Path => issue.path.filter((step) => typeof step !== 'symbol');

/** What `path` leads to; undefined when nothing is written there. */
export function valueAt(value: Json | undefined, path: Path): Json | undefined {
  let current: unknown = value;
  for (const step of path) {
    if (current === null || typeof current !== 'object' || !Object.hasOwn(current, step)) return undefined;
    current = (current as Record<string | number, unknown>)[step];
  }
  return current as Json | undefined;
}

/** A value as a sentence names it. */
export function found(value: Json | undefined, path: Path): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty map' : 'a map';
  const isSecret = SECRET_PATHS.test(formatPath(path));
  if (typeof value === 'string') return isSecret ? 'a text' : quoted(value);
  return isSecret ? `a ${typeof value}` : String(value);
}

const KINDS: Readonly<Record<string, string>> = {
  object: 'a map',
  record: 'a map',
  array: 'a list',
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
};

function bound(issue: Issue): string | null {
  if (issue.code !== 'too_big' && issue.code !== 'too_small') return null;
  const limit = issue.code === 'too_big' ? `at most ${issue.maximum}` : `at least ${issue.minimum}`;
  return issue.origin === 'array' ? `${limit} entries` : issue.origin === 'string' ? `${limit} characters` : limit;
}

/** What the definition wants: in its own words where it has some. */
function wanted(issue: Issue, actual: Json | undefined, schema: Schema): string {
  if (issue.code === 'invalid_type' && issue.expected === 'string') {
    if (typeof actual === 'number' || typeof actual === 'boolean') {
      const isSecret = SECRET_PATHS.test(formatPath(issuePath(issue)));
      return isSecret ? 'text: put it in quotes' : `text: put it in quotes, "${actual}"`;
    }
    // The rules for the text say more than "text" does, and only a text makes them speak.
    const rules = schemaAt(issuePath(issue), schema);
    const first = rules && z.safeParse(rules, '').error?.issues[0];
    return first && first.code !== 'invalid_type' ? wanted(first, '', schema) : 'text';
  }
  if (issue.message.startsWith('expected ')) {
    const isQuotedNumber = issue.code === 'invalid_type' && typeof actual === 'string' && /^\d+$/.test(actual);
    return `${issue.message.slice('expected '.length)}${isQuotedNumber ? ', without quotes' : ''}`;
  }
  if (issue.code === 'invalid_type') return KINDS[issue.expected] ?? 'another kind of value';
  return bound(issue) ?? 'another value';
}

/** The field that a wrong name most likely stands for. */
export const suggestionFor = (path: Path, schema: Schema): string | null =>
  nearest(String(path.at(-1)), fieldNames(schemaAt(path.slice(0, -1), schema)));

/** Says that a field is unknown, and which one was probably meant. */
export function unknownField(path: Path, schema: Schema): string {
  if (formatPath(path) === 'spec.flink')
    return 'found the engine flink, which is not available yet; expected container';
  const near = suggestionFor(path, schema);
  if (near !== null) return `unknown field; did you mean \`${near}\`?`;
  const elsewhere = pathsOf(String(path.at(-1)), schema)[0];
  if (elsewhere !== undefined) return `unknown field here; did you mean \`${formatPath(elsewhere)}\`?`;
  // Marks such as $remove are no fields.
  const names = fieldNames(schemaAt(path.slice(0, -1), schema)).filter((name) => !name.startsWith('$'));
  return `unknown field; expected one of ${names.join(', ')}`;
}

/** What is there and what the definition wants instead, of an issue that is not about unknown fields. */
export function foundAndExpected(issue: Issue, root: Json, schema: Schema): { found: string; expected: string } {
  const path = issuePath(issue);
  const actual = valueAt(root, path);
  // A rule between fields is broken by the fields that are there, not by their map.
  const fields = issue.code === 'custom' && isMap(actual) ? Object.keys(actual).map(printable) : [];
  const what =
    fields.length === 0 ? found(actual, path) : fields.length === 1 ? `only ${fields[0]}` : fields.join(' and ');
  return { found: what, expected: wanted(issue, actual, schema) };
}

/**
 * An issue of the definition as sentences: one for each unknown field, else one.
 * @param root the value that was checked, and `schema` what it was checked against
 */
export function describeIssue(issue: Issue, root: Json, schema: Schema): ContentFinding[] {
  const path = issuePath(issue);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => {
      const at = [...path, key];
      return { path: at, place: 'key', message: unknownField(at, schema) };
    });
  }
  const said = foundAndExpected(issue, root, schema);
  return [{ path, place: 'value', message: `found ${said.found}, expected ${said.expected}` }];
}
