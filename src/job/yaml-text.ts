import { Composer, CST, type Document, Lexer, LineCounter, Parser } from 'yaml';
import { syntaxFindings } from './yaml-syntax.ts';

/** Limits on what is read. Far above any real job, far below what hurts. */
export const MAX_FILE_BYTES = 8 * 1024 * 1024;
export const MAX_DOCUMENT_BYTES = 1024 * 1024;
export const MAX_DOCUMENTS = 10_000;
export const MAX_DEPTH = 32;
export const MAX_ALIASES = 100;
/** Of a document with aliases, in characters: each letter of a quoted text takes the library 60 bytes for a moment. */
const MAX_ALIASED_LENGTH = 256 * 1024;
const MAX_SYNTAX_ERRORS = 100;

/** What one document may hold. */
export interface DocumentLimits {
  readonly bytes: number;
  /** Words and signs of the text. */
  readonly lexemes: number;
  /** Values once the aliases are filled in; their letters together may be as many as `bytes`. */
  readonly values: number;
}

/** Of what people write. */
export const DOCUMENT_LIMITS: DocumentLimits = { bytes: MAX_DOCUMENT_BYTES, lexemes: 30_000, values: 15_000 };

export const mebibytes = (bytes: number): string => `${bytes / 1024 / 1024} MiB`;

/** A mistake at an offset of one document's text. */
export interface Finding {
  readonly offset: number;
  readonly message: string;
}

/** The text of one document, and the number of lines before it in the file. */
export interface DocumentText {
  readonly text: string;
  readonly linesBefore: number;
}

const isMarker = (text: string, at: number, marker: string): boolean =>
  text.startsWith(marker, at) && (at + 3 === text.length || ' \t\r\n'.includes(text.charAt(at + 3)));

/**
 * Cuts a file into documents, before anything else is understood: a line that begins with `---` ends a document
 * whatever it stands in (YAML 1.2, 9.1.2). So a mistake in one document cannot hide the next, and only one document
 * is in memory as a tree at a time. Pieces that hold nothing but comments are left out.
 */
export function* splitDocuments(text: string): Generator<DocumentText, void> {
  let start = 0;
  let line = 0;
  let linesBefore = 0;
  let hasContent = false;
  for (let at = 0; at < text.length; line += 1) {
    const newline = text.indexOf('\n', at);
    const next = newline === -1 ? text.length : newline + 1;
    // Files joined end to end can have a byte order mark in the middle.
    const first = text.charAt(at) === '\ufeff' ? at + 1 : at;
    if (isMarker(text, first, '---')) {
      if (hasContent) {
        yield { text: text.slice(start, at), linesBefore };
        [start, linesBefore] = [at, line];
      }
      hasContent = true;
    } else if (isMarker(text, first, '...')) {
      if (hasContent) yield { text: text.slice(start, at), linesBefore };
      [start, linesBefore, hasContent] = [next, line + 1, false];
    } else if (!hasContent) {
      // Comments and directives may stand before the `---` of the document that they belong to.
      const head = text.slice(first, next).trimStart();
      hasContent = head !== '' && !head.startsWith('#') && text.charAt(first) !== '%';
    }
    at = next;
  }
  if (hasContent) yield { text: text.slice(start), linesBefore };
}

/**
 * Keeps the first errors only. One quoted text can hold one in every second letter, and each is an object with a stack;
 * the library has no setting for that, so its own handler is wrapped.
 */
class BoundedComposer extends Composer {
  constructor(options: ConstructorParameters<typeof Composer>[0]) {
    super(options);
    // biome-ignore lint/complexity/useLiteralKeys: the member is private; TypeScript allows it in brackets only
    const report = this['onError'];
    let errors = 0;
    // biome-ignore lint/complexity/useLiteralKeys: as above
    this['onError'] = (...error: Parameters<typeof report>) => {
      errors += 1;
      if (errors <= MAX_SYNTAX_ERRORS) report(...error);
    };
  }
}

/** A document as a tree of nodes, or why there is none. */
export interface ComposedDocument {
  readonly tree: Document.Parsed | null;
  readonly findings: readonly Finding[];
  readonly lines: LineCounter;
}

const count = (n: number): string => n.toLocaleString('en-US');

/**
 * Reads the text of one document into a tree. The limits are checked while it is cut into words, before any tree is
 * made, so that what is built to exhaust a reader is refused at once.
 */
export function composeDocument(text: string, limits: DocumentLimits = DOCUMENT_LIMITS): ComposedDocument {
  const lines = new LineCounter();
  const refuse = (offset: number, message: string): ComposedDocument => ({
    tree: null,
    findings: [{ offset, message }],
    lines,
  });
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  const tokens: CST.Token[] = [];
  let [lexemes, aliases, errors, isScalarNext] = [0, 0, 0, false];
  for (const lexeme of new Lexer().lex(text)) {
    lexemes += 1;
    if (!isScalarNext && lexeme.startsWith('*')) aliases += 1;
    isScalarNext = lexeme === CST.SCALAR;
    for (const token of parser.next(lexeme)) {
      tokens.push(token);
      if (token.type === 'error') errors += 1;
    }
    if (aliases > 0 && text.length > MAX_ALIASED_LENGTH) {
      return refuse(parser.offset, 'found an alias in a document of more than 256 KiB, expected none in one so large');
    }
    if (aliases > MAX_ALIASES) return refuse(parser.offset, `found more than ${MAX_ALIASES} aliases, expected fewer`);
    if (lexemes > limits.lexemes) {
      return refuse(
        parser.offset,
        `found more than ${count(limits.lexemes)} words and signs, expected a smaller document`,
      );
    }
    // The stack holds the document, what is open around this place, and at the most one value.
    if (parser.stack.length > MAX_DEPTH + 2) {
      return refuse(parser.offset, `found lists and maps more than ${MAX_DEPTH} deep, expected fewer levels`);
    }
    if (errors > MAX_SYNTAX_ERRORS) break;
  }
  tokens.push(...parser.end());
  // Keys are compared by our own walk: the library's check takes time with the square of their number.
  const composer = new BoundedComposer({ uniqueKeys: false, prettyErrors: false, logLevel: 'silent' });
  const [tree = null] = composer.compose(tokens, true, text.length);
  return { tree, findings: tree === null ? [] : syntaxFindings(tree, text), lines };
}
