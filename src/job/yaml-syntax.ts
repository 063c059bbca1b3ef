import { type Document, isCollection, isScalar, visit, type YAMLParseError } from 'yaml';
import { printable } from './problem.ts';

const INDENT =
  'found a line that is indented differently from its neighbours, expected the same column for all fields of a map and all entries of a list';
const NO_COLON = 'found a line without ": ", expected a field and its value (with a blank after the colon)';
const ANCHOR = 'found a misplaced anchor or tag, expected at most one &anchor before a value and none before an *alias';
const TEMPLATE =
  'found a template, {{ … }}, expected plain YAML; fill the template in first, or put the value in quotes';
const ELSE = 'found text that does not belong here, expected YAML; put quotes around a value with special characters';

const lineAt = (text: string, offset: number): string => {
  const start = text.lastIndexOf('\n', offset - 1) + 1;
  const end = text.indexOf('\n', offset);
  return text.slice(start, end === -1 ? text.length : end);
};

function unexpected(error: YAMLParseError, text: string): string {
  const sign = text.charAt(error.pos[0]);
  if (sign === '}' || sign === ']')
    return `found "${sign}" that closes nothing, expected the "${sign === '}' ? '{' : '['}" before it`;
  if (sign === ',') return 'found a comma with nothing before it, expected one comma between two entries';
  if (error.message.includes('block-seq-ind'))
    return 'found a list on the line of its field, expected it on the lines below';
  if (error.message.startsWith('Block scalar header'))
    return 'found text right after | or >, expected it on the lines below';
  return 'found text after the end of a value, expected a new line; put quotes around the whole value if this belongs to it';
}

function missing(error: YAMLParseError, text: string): string {
  const { message } = error;
  if (message.startsWith('Implicit map keys')) return NO_COLON;
  if (message.startsWith('Comments')) return 'found # right after a value, expected a blank before a comment';
  if (message.startsWith('Missing directives'))
    return 'found a line that begins with %, expected a field; a value that begins with % needs quotes';
  if (message.includes('directives-end')) return 'found a field on the line of ---, expected it on the next line';
  if (message.startsWith('Missing ,'))
    return 'found two entries with no comma between them, expected a comma (and ": " between a field and its value)';
  if (message.startsWith('Missing space')) return 'found a colon right before a value, expected a blank after it';
  if (message.startsWith('Sequence item')) return INDENT;
  if (message.startsWith('Block scalar'))
    return 'found text at the margin, expected the lines below | or > to be indented further';
  return message.startsWith('Tags') ? ANCHOR : unexpected(error, text);
}

/** What is wrong, in our words. The library's own sentences speak of its parts, not of what to do. */
function sentence(error: YAMLParseError, text: string): string {
  const line = lineAt(text, error.pos[0]);
  if (line.includes('{{')) return TEMPLATE;
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return 'found a tab as indentation, expected spaces';
    case 'BAD_INDENT':
      return INDENT;
    case 'BLOCK_AS_IMPLICIT_KEY':
      return line.trimStart().startsWith('- ')
        ? INDENT
        : 'found a map inside a value, expected one or the other; put a value with ": " in it in quotes, and check how far the next line is indented';
    case 'MULTILINE_IMPLICIT_KEY':
      return NO_COLON;
    case 'MISSING_CHAR':
      return missing(error, text);
    case 'UNEXPECTED_TOKEN':
      return unexpected(error, text);
    case 'BAD_SCALAR_START':
      return `found a value that begins with ${printable(text.charAt(error.pos[0]))}, expected it in quotes`;
    case 'BAD_DQ_ESCAPE':
      return 'found a backslash that no escape begins with, expected \\\\ for a backslash, or single quotes around the text';
    case 'KEY_OVER_1024_CHARS':
      return 'found a field name of more than 1024 characters, expected a shorter one';
    case 'BLOCK_IN_FLOW':
      return 'found fields or entries on lines of their own inside { } or [ ], expected commas between them';
    case 'BAD_DIRECTIVE':
      return 'found a % line that cannot be read, expected none';
    case 'TAG_RESOLVE_FAILED':
      return 'found a tag that nothing defines, expected a plain value';
    case 'ALIAS_PROPS':
    case 'BAD_ALIAS':
    case 'BAD_PROP_ORDER':
    case 'MULTIPLE_ANCHORS':
    case 'MULTIPLE_TAGS':
      return ANCHOR;
    default:
      return ELSE;
  }
}

const OPENERS: Readonly<Record<string, string>> = { '"': '"', "'": "'", '{': '}', '[': ']' };

/** The innermost quote or bracket that is open at `offset`: that is where a person has to look, not where the text ends. */
function openedAt(tree: Document.Parsed, text: string, offset: number, quotes: boolean): number | null {
  let found: number | null = null;
  visit(tree, {
    Node(_key, node) {
      const fits = quotes ? isScalar(node) : isCollection(node) && node.flow === true;
      const [start, end] = node.range ?? [0, 0];
      if (fits && text.charAt(start) in OPENERS && start < offset && end >= offset) found = start;
    },
  });
  return found;
}

function unclosed(
  error: YAMLParseError,
  tree: Document.Parsed,
  text: string,
): { offset: number; message: string } | null {
  const quotes = error.message.startsWith('Missing closing');
  if (!quotes && !/\bend with a [}\]]/.test(error.message)) return null;
  const offset = openedAt(tree, text, error.pos[0], quotes);
  if (offset === null || lineAt(text, offset).includes('{{')) return null;
  const sign = text.charAt(offset);
  return { offset, message: `found ${sign} that is never closed, expected ${OPENERS[sign]} at its end` };
}

/**
 * Every mistake of syntax, the first of each line: what follows on the same line follows from it. So does all that
 * comes after a template, or after a quote or bracket that is never closed.
 */
export function syntaxFindings(tree: Document.Parsed, text: string): { offset: number; message: string }[] {
  const lines = new Map<number, { offset: number; message: string }>();
  for (const error of tree.errors.toSorted((a, b) => a.pos[0] - b.pos[0])) {
    const offset = Math.min(error.pos[0], text.length);
    const opened = unclosed(error, tree, text);
    const finding = opened ?? { offset, message: sentence(error, text) };
    const line = text.lastIndexOf('\n', finding.offset - 1);
    if (!lines.has(line)) lines.set(line, finding);
    if (opened !== null || finding.message === TEMPLATE) break;
  }
  const { version, explicit } = tree.directives.yaml;
  if (lines.size === 0 && explicit === true && version !== '1.2') {
    return [{ offset: 0, message: `found %YAML ${version}, expected YAML 1.2; leave the line out` }];
  }
  return [...lines.values()];
}
