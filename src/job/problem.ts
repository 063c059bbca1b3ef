/** Where something is written. Lines and columns count from 1, columns in UTF-16 units as editors do. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Steps from the root of a document to a value: field names and list indexes. */
export type Path = readonly (string | number)[];

/** One mistake in what a person wrote. */
export interface Problem {
  readonly position: Position;
  /** As {@link formatPath} writes it; empty when the mistake concerns no single field. */
  readonly path: string;
  /** What was found and what was expected, in one sentence without a full stop. */
  readonly message: string;
}

/** What a person is shown at most; all are counted. */
const MAX_SHOWN = 100;
const MAX_QUOTED = 60;

// C0, DEL, C1, and the marks that turn the direction of text: harmless in a file, not on a terminal. The last three, and
// U+2028 and U+2029, are what readers of YAML take for something else than a letter.
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]/gu;

/** Whether all of `text` can be printed as it is; the end of a line can. */
export const isPrintable = (text: string): boolean => text.replaceAll('\n', '').search(UNPRINTABLE) === -1;

/** `text` with everything escaped that a terminal would act on. */
export const printable = (text: string): string =>
  text.replace(UNPRINTABLE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

const MAX_SENTENCE = 600;

/** A sentence with parts of what people wrote in it: printable, and not longer than anyone reads. */
export const shownText = (text: string): string =>
  printable(text.length > MAX_SENTENCE ? `${text.slice(0, MAX_SENTENCE)}…` : text);

/** `text` in quotes, printable, and cut when it is long. */
export function quoted(text: string): string {
  const short = text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text;
  const inner = printable(short.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\t', '\\t'));
  return text.length > MAX_QUOTED ? `"${inner}" (${text.length} characters)` : `"${inner}"`;
}

/** `spec.container.env[0].value`; names that are no plain words are put in quotes. */
export function formatPath(path: Path): string {
  return path
    .map((step, index) => {
      if (typeof step === 'number') return `[${step}]`;
      if (!/^[\w-]{1,60}$/.test(step)) return `[${quoted(step)}]`;
      return index === 0 ? step : `.${step}`;
    })
    .join('');
}

/** Whether `path` is `head` or leads to something inside it. */
export const isInside = (path: Path, head: Path): boolean => head.every((step, index) => path[index] === step);

export const formatPosition = (p: Position): string => `${printable(p.file)}:${p.line}:${p.column}`;

export const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`;

/**
 * One problem a line, `file:line:column: path: message`, and a last line that counts them all. Files stay in the order
 * in which they first occur; inside a file the order is that of the text.
 */
export function formatProblems(problems: readonly Problem[]): string {
  const files = [...new Set(problems.map((p) => p.position.file))];
  const fileOrder = new Map(files.map((file, index) => [file, index]));
  const order = (p: Problem) => fileOrder.get(p.position.file) ?? 0;
  const sorted = problems.toSorted(
    (a, b) => order(a) - order(b) || a.position.line - b.position.line || a.position.column - b.position.column,
  );
  const lines = sorted
    .slice(0, MAX_SHOWN)
    .map((p) => `${formatPosition(p.position)}: ${p.path === '' ? '' : `${p.path}: `}${p.message}`);
  const shown = problems.length > MAX_SHOWN ? `; the first ${MAX_SHOWN} are shown` : '';
  return [...lines, `${plural(problems.length, 'problem')} in ${plural(files.length, 'file')}${shown}`].join('\n');
}
