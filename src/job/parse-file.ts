import { Buffer } from 'node:buffer';
import type { Checked } from './check.ts';
import type { PlainDocument } from './plain-document.ts';
import { formatPath, type Path, type Position, type Problem, shownText } from './problem.ts';
import {
  composeDocument,
  DOCUMENT_LIMITS,
  type DocumentLimits,
  type DocumentText,
  MAX_DOCUMENTS,
  MAX_FILE_BYTES,
  mebibytes,
  splitDocuments,
} from './yaml-text.ts';
import { plainDocument } from './yaml-values.ts';

/** How documents of some kind are read. */
export interface DocumentReader<T> {
  /** For a file without any: what was expected. */
  readonly kind: string;
  readonly check: (plain: PlainDocument) => Checked<T>;
  /** The place that stands for the whole document, such as a job's name. */
  readonly place: Path;
  readonly limits?: DocumentLimits;
}

/** What a document says, and its place. */
export interface Placed<T> {
  readonly value: T;
  readonly position: Position;
}

export interface ReadDocument<T> {
  readonly read: Placed<T> | null;
  readonly problems: readonly Problem[];
}

/** Where reading a file ends: nobody mends more at once, and the list itself must not grow without a bound. */
const MAX_PROBLEMS = 10_000;

/** Reads one document. Null when it is empty, as a comment between two `---` is. */
export function readDocument<T>(
  { text, linesBefore }: DocumentText,
  file: string,
  reader: DocumentReader<T>,
): ReadDocument<T> | null {
  const limits = reader.limits ?? DOCUMENT_LIMITS;
  if (Buffer.byteLength(text) > limits.bytes) {
    const message = `found a document of more than ${mebibytes(limits.bytes)}, expected a smaller one`;
    return { read: null, problems: [{ position: { file, line: linesBefore + 1, column: 1 }, path: '', message }] };
  }
  const { tree, findings, lines } = composeDocument(text, limits);
  const positionAt = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { file, line: linesBefore + line, column: col };
  };
  const problemAt = (offset: number, message: string, path: Path = []): Problem => ({
    position: positionAt(offset),
    path: formatPath(path),
    message: shownText(message),
  });
  if (tree === null || findings.length > 0) {
    return { read: null, problems: findings.map((f) => problemAt(f.offset, f.message)) };
  }
  const plain = plainDocument(tree, limits);
  if (plain.value === null && plain.findings.length === 0) return null;
  const checked = reader.check(plain);
  const problems = [
    ...plain.findings.map((f) => problemAt(f.offset, f.message, f.path)),
    ...checked.findings.map((f) => problemAt(plain.spanOf(f.path)[f.place], f.message, f.path)),
  ];
  if (checked.value === null || problems.length > 0) return { read: null, problems };
  return { read: { value: checked.value, position: positionAt(plain.spanOf(reader.place).value) }, problems };
}

/**
 * Reads every document of a file, YAML or JSON. Never throws: whatever is wrong with whatever text becomes problems, of
 * all documents at once. A caller that finds any problem must use none of what was read.
 * @param fileName what positions call the file
 */
export function parseFile<T>(
  text: string,
  fileName: string,
  reader: DocumentReader<T>,
): { readonly documents: readonly Placed<T>[]; readonly problems: readonly Problem[] } {
  const documents: Placed<T>[] = [];
  const problems: Problem[] = [];
  const complain = (line: number, message: string): void => {
    problems.push({ position: { file: fileName, line, column: 1 }, path: '', message });
  };
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
    complain(1, `found a file of more than ${mebibytes(MAX_FILE_BYTES)}, expected a smaller one; split it`);
    return { documents, problems };
  }
  let pieces = 0;
  let isEmpty = true;
  for (const document of splitDocuments(text)) {
    const line = document.linesBefore + 1;
    if (problems.length >= MAX_PROBLEMS) {
      complain(
        line,
        `found more than ${MAX_PROBLEMS} problems before this line, expected fewer; the rest was not read`,
      );
      break;
    }
    if (pieces >= MAX_DOCUMENTS) {
      complain(line, `found more than ${MAX_DOCUMENTS} documents, expected fewer; split the file`);
      break;
    }
    pieces += 1;
    const parsed = readDocument(document, fileName, reader);
    if (parsed === null) continue;
    isEmpty = false;
    for (const problem of parsed.problems) problems.push(problem);
    if (parsed.read !== null) documents.push(parsed.read);
  }
  if (isEmpty && problems.length === 0) complain(1, `found no document, expected at least one ${reader.kind}`);
  return { documents, problems };
}
