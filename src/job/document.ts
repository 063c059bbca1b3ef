import { checkDocument } from './check.ts';
import { JOB_DEFINITION } from './check-job.ts';
import type { JobName } from './ids.ts';
import { type DocumentReader, parseFile } from './parse-file.ts';
import { formatPosition, type Position, type Problem } from './problem.ts';
import { inSchemaOrder } from './schema-fields.ts';
import { API_VERSION, type JobSpec, KIND, type StreamJob, streamJobSchema } from './spec.ts';
import { yamlText } from './yaml-write.ts';

/** A job as it was written, and the place of its name. */
export interface ParsedJob {
  readonly job: StreamJob;
  readonly position: Position;
}

export interface ParsedFile {
  readonly jobs: readonly ParsedJob[];
  readonly problems: readonly Problem[];
}

const READER: DocumentReader<StreamJob> = {
  kind: KIND,
  check: (plain) => checkDocument(plain, JOB_DEFINITION),
  place: ['metadata', 'name'],
};

/**
 * Reads every job of a file, YAML or JSON. Never throws: whatever is wrong with whatever text becomes problems, of all
 * documents at once. A caller that finds any problem must use none of the jobs.
 * @param fileName what positions call the file
 */
export function parseDocuments(text: string, fileName: string): ParsedFile {
  const { documents, problems } = parseFile(text, fileName, READER);
  return { jobs: documents.map(({ value, position }) => ({ job: value, position })), problems };
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

/**
 * A job as people write it: fields in the order of the definition, nothing that was not set. {@link parseDocuments}
 * reads the same job from it.
 */
export function toYaml(job: JobName & { readonly spec: JobSpec }): string {
  const document = {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { name: job.name, namespace: job.tenant },
    spec: job.spec,
  };
  return yamlText(inSchemaOrder(streamJobSchema, document));
}
