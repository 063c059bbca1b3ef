import { Buffer } from 'node:buffer';
import { Document, visit } from 'yaml';
import { checkJob } from './check.ts';
import type { JobName } from './ids.ts';
import {
  formatPath,
  formatPosition,
  isPrintable,
  type Path,
  type Position,
  type Problem,
  printable,
  shownText,
} from './problem.ts';
import { inSchemaOrder } from './schema-fields.ts';
import { API_VERSION, type JobSpec, KIND, type StreamJob, streamJobSchema } from './spec.ts';
import {
  composeDocument,
  type DocumentText,
  MAX_DOCUMENT_BYTES,
  MAX_DOCUMENTS,
  MAX_FILE_BYTES,
  splitDocuments,
} from './yaml-text.ts';
import { plainDocument } from './yaml-values.ts';

/** A job as it was written, and the place of its name. */
export interface ParsedJob {
  readonly job: StreamJob;
  readonly position: Position;
}

export interface ParsedFile {
  readonly jobs: readonly ParsedJob[];
  readonly problems: readonly Problem[];
}

/** Where reading a file ends: nobody mends more at once, and the list itself must not grow without a bound. */
const MAX_PROBLEMS = 10_000;

interface ParsedDocument {
  readonly job: ParsedJob | null;
  readonly problems: readonly Problem[];
}

/** Reads one document. Null when it is empty, as a comment between two `---` is. */
function parseDocument({ text, linesBefore }: DocumentText, file: string): ParsedDocument | null {
  if (Buffer.byteLength(text) > MAX_DOCUMENT_BYTES) {
    const message = 'found a document of more than 1 MiB, expected a smaller one';
    return { job: null, problems: [{ position: { file, line: linesBefore + 1, column: 1 }, path: '', message }] };
  }
  const { tree, findings, lines } = composeDocument(text);
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
    return { job: null, problems: findings.map((f) => problemAt(f.offset, f.message)) };
  }
  const plain = plainDocument(tree);
  if (plain.value === null && plain.findings.length === 0) return null;
  const checked = checkJob(plain);
  const problems = [
    ...plain.findings.map((f) => problemAt(f.offset, f.message, f.path)),
    ...checked.findings.map((f) => problemAt(plain.spanOf(f.path)[f.place], f.message, f.path)),
  ];
  if (checked.job === null || problems.length > 0) return { job: null, problems };
  return { job: { job: checked.job, position: positionAt(plain.spanOf(['metadata', 'name']).value) }, problems };
}

/**
 * Reads every document of a file, YAML or JSON. Never throws: whatever is wrong with whatever text becomes problems, of
 * all documents at once. A caller that finds any problem must use none of the jobs.
 * @param fileName what positions call the file
 */
export function parseDocuments(text: string, fileName: string): ParsedFile {
  const jobs: ParsedJob[] = [];
  const problems: Problem[] = [];
  const complain = (line: number, message: string): void => {
    problems.push({ position: { file: fileName, line, column: 1 }, path: '', message });
  };
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
    complain(1, 'found a file of more than 8 MiB, expected a smaller one; split it');
    return { jobs, problems };
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
    const parsed = parseDocument(document, fileName);
    if (parsed === null) continue;
    isEmpty = false;
    for (const problem of parsed.problems) problems.push(problem);
    if (parsed.job !== null) jobs.push(parsed.job);
  }
  if (isEmpty && problems.length === 0) complain(1, `found no document, expected at least one ${KIND}`);
  return { jobs, problems };
}

/** Jobs that are there more than once in one invocation, over all of its files: each is named with its first place. */
export function duplicateJobs(jobs: readonly ParsedJob[]): Problem[] {
  const first = new Map<string, Position>();
  const problems: Problem[] = [];
  for (const { job, position } of jobs) {
    const name = `${job.metadata.namespace}/${job.metadata.name}`;
    const other = first.get(name);
    if (other === undefined) first.set(name, position);
    else {
      const message = `found the job ${name}, which is also at ${formatPosition(other)}; expected each job once`;
      problems.push({ position, path: 'metadata.name', message });
    }
  }
  return problems;
}

// Blanks that a block of lines (|) cannot show, or that the library does not write so that they are read back.
const BLANK_EDGES = /^\s|[ \t]$|[ \t]\n|\n\n$/;

/**
 * A job as people write it: fields in the order of the definition, nothing that was not set. {@link parseDocuments}
 * reads the same job from it, and so does a reader of YAML 1.1 such as kubectl: what that would take for a number, a
 * date or a yes is put in quotes. What a terminal would act on is escaped.
 */
export function toYaml(job: JobName & { readonly spec: JobSpec }): string {
  const document = new Document(
    inSchemaOrder(streamJobSchema, {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata: { name: job.name, namespace: job.tenant },
      spec: job.spec,
    }),
    { aliasDuplicateObjects: false, compat: 'yaml-1.1' },
  );
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value !== 'string') return;
      if (BLANK_EDGES.test(node.value) || !isPrintable(node.value)) node.type = 'QUOTE_DOUBLE';
    },
  });
  // The library escapes only some of these; now that all of them stand in double quotes, one escape fits all.
  const lines = document.toString({ lineWidth: 0, doubleQuotedAsJSON: true }).split('\n');
  return lines.map(printable).join('\n');
}
