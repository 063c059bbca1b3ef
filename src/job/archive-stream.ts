import { ARCHIVE_SCHEMAS, type ArchiveDocument, type ArchiveKind } from './archive-schema.ts';
import { isMap } from './canonical.ts';
import { type Checked, checkDocument } from './check.ts';
import { foreignFindings } from './kinds.ts';
import { type DocumentReader, type Placed, readDocument } from './parse-file.ts';
import type { PlainDocument } from './plain-document.ts';
import { formatProblems, type Problem, quoted } from './problem.ts';
import { type DocumentLimits, type DocumentText, mebibytes, splitDocuments } from './yaml-text.ts';

/** Why a text is no archive: `message` has one line for each problem, with its place. */
export class ArchiveError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(formatProblems(problems));
    this.name = 'ArchiveError';
    this.problems = problems;
  }
}

/** Room for the largest spec that the definition takes, and for a part of a history. */
const LIMITS: DocumentLimits = { bytes: 64 * 1024 * 1024, lexemes: 300_000, values: 100_000 };

const KINDS: readonly string[] = Object.keys(ARCHIVE_SCHEMAS);
const isKind = (kind: unknown): kind is ArchiveKind => KINDS.includes(String(kind));

function check(plain: PlainDocument): Checked<ArchiveDocument> {
  const kind = isMap(plain.value) ? plain.value.kind : undefined;
  if (isKind(kind)) return checkDocument<ArchiveDocument>(plain, { kind, schema: ARCHIVE_SCHEMAS[kind] });
  const foreign = foreignFindings(plain.value, 'an archive');
  if (foreign.length > 0) return { value: null, findings: foreign };
  const found = typeof kind === 'string' ? quoted(kind) : 'no kind';
  const message = `found ${found}, expected a document of an archive: ${KINDS.join(', ')}`;
  return { value: null, findings: [{ path: ['kind'], place: 'value', message }] };
}

const READER: DocumentReader<ArchiveDocument> = { kind: 'Store', check, place: ['kind'], limits: LIMITS };

/** Where a document surely ends, wherever the text was cut into chunks. */
const SEPARATOR = /\n---(?=[ \t\r\n])/g;

/** The documents of a text that comes in chunks, each as soon as it is whole. */
async function* splitChunks(chunks: AsyncIterable<string>, file: string): AsyncGenerator<DocumentText, void> {
  let buffer = '';
  let linesBefore = 0;
  const pieces = function* (text: string): Generator<DocumentText, void> {
    for (const piece of splitDocuments(text)) yield { ...piece, linesBefore: linesBefore + piece.linesBefore };
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) linesBefore += 1;
  };
  for await (const chunk of chunks) {
    // A separator can lie across two chunks.
    SEPARATOR.lastIndex = Math.max(0, buffer.length - 5);
    buffer += chunk;
    let end = -1;
    for (let match = SEPARATOR.exec(buffer); match !== null; match = SEPARATOR.exec(buffer)) end = match.index;
    if (end !== -1) {
      yield* pieces(buffer.slice(0, end + 1));
      buffer = buffer.slice(end + 1);
    }
    if (buffer.length > LIMITS.bytes) {
      const message = `found a document of more than ${mebibytes(LIMITS.bytes)}, expected a smaller one`;
      throw new ArchiveError([{ position: { file, line: linesBefore + 1, column: 1 }, path: '', message }]);
    }
  }
  yield* pieces(buffer);
}

export type PlacedDocument = Placed<ArchiveDocument>;

/** Document by document. @throws ArchiveError at the first one of which something is wrong */
export async function* documentsIn(chunks: AsyncIterable<string>, file: string): AsyncGenerator<PlacedDocument, void> {
  for await (const text of splitChunks(chunks, file)) {
    const { read, problems } = readDocument(text, file, READER) ?? { read: null, problems: [] };
    if (problems.length > 0) throw new ArchiveError(problems);
    if (read !== null) yield read;
  }
}
