import type { ArchivedJob, ArchivedKey, ArchivedPlatformRevision, StoreArchive } from './archive.ts';
import {
  archivedJob,
  archivedKeys,
  jobDocuments,
  keyDocuments,
  platformDocuments,
  platformRevisions,
} from './archive-forms.ts';
import { ARCHIVE_FORMAT, ARCHIVE_SCHEMAS, type ArchiveDocument } from './archive-schema.ts';
import { ArchiveError, documentsIn, type PlacedDocument } from './archive-stream.ts';
import { storeId } from './ids.ts';
import { type Position, plural } from './problem.ts';
import { inSchemaOrder } from './schema-fields.ts';
import { API_VERSION } from './spec.ts';
import { yamlText } from './yaml-write.ts';

/**
 * An archive as text: a header, the platform's history, each job's, the idempotency keys, and an end that says how much there was, so that a
 * text that was cut off is not taken for a smaller store. The same store gives the same text.
 */

export { ArchiveError } from './archive-stream.ts';

const documentText = (document: ArchiveDocument): string =>
  `---\n${yamlText(inSchemaOrder(ARCHIVE_SCHEMAS[document.kind], document))}`;

/** An archive as YAML, document by document; each piece of text is whole documents. */
export async function* archiveYaml(archive: StoreArchive): AsyncGenerator<string, void> {
  const { storeId, undeleteRetention, platforms, jobs, keys } = archive;
  const counts = { platformRevisions: platforms.length, jobs: 0, jobRevisions: 0, idempotencyKeys: 0 };
  const metadata = { uid: storeId };
  yield documentText({ apiVersion: API_VERSION, kind: 'Store', metadata, format: ARCHIVE_FORMAT, undeleteRetention });
  for (const document of platformDocuments(platforms)) yield documentText(document);
  for await (const job of jobs) {
    counts.jobs += 1;
    counts.jobRevisions += job.revisions.length;
    for (const document of jobDocuments(job)) yield documentText(document);
  }
  for await (const document of keyDocuments(keys)) {
    counts.idempotencyKeys += document.keys.length;
    yield documentText(document);
  }
  yield documentText({ apiVersion: API_VERSION, kind: 'StoreEnd', counts });
}

const refusal = (position: Position, message: string, path = ''): ArchiveError =>
  new ArchiveError([{ position, path, message }]);

/** Documents one by one, and where the last one was. */
class ArchiveSource {
  #returned: PlacedDocument | null = null;
  readonly #documents: AsyncGenerator<PlacedDocument, void>;
  position: Position;

  constructor(chunks: AsyncIterable<string>, file: string) {
    this.#documents = documentsIn(chunks, file);
    this.position = { file, line: 1, column: 1 };
  }

  /** null at the end of the text. */
  async next(): Promise<PlacedDocument | null> {
    if (this.#returned !== null) {
      const document = this.#returned;
      this.#returned = null;
      return document;
    }
    const { done, value } = await this.#documents.next();
    if (done) return null;
    this.position = value.position;
    return value;
  }

  /** Makes it the next one again. */
  putBack(document: PlacedDocument): void {
    this.#returned = document;
  }

  async close(): Promise<void> {
    await this.#documents.return();
  }
}

/** Joins the parts of each job's history, and sees to it that nothing is there twice or missing at the end. */
class JobJoiner {
  readonly #ids = new Set<string>();
  #current: { readonly job: ArchivedJob; readonly revisions: ArchivedJob['revisions'][number][] } | null = null;
  #revisions = 0;

  /** The job that is whole now; null where there is none, or more of it may follow. */
  add(part: ArchivedJob, position: Position): ArchivedJob | null {
    const identity = ({ job, createdAt, removedAt }: ArchivedJob) => JSON.stringify([job, createdAt, removedAt]);
    const current = this.#current;
    this.#revisions += part.revisions.length;
    if (current?.job.job.id === part.job.id) {
      const isNext = (part.revisions[0]?.revision ?? 0) > (current.revisions.at(-1)?.revision ?? 0);
      if (identity(current.job) !== identity(part) || !isNext) {
        throw refusal(position, 'found the same job again, expected the rest of its history, with higher revisions');
      }
      for (const entry of part.revisions) current.revisions.push(entry);
      return null;
    }
    if (this.#ids.has(part.job.id)) {
      throw refusal(position, `found the job ${part.job.id} a second time, expected each once`, 'metadata.uid');
    }
    this.#ids.add(part.job.id);
    const whole = this.end();
    this.#current = { job: part, revisions: [...part.revisions] };
    return whole;
  }

  /** The last job. */
  end(): ArchivedJob | null {
    return this.#current === null ? null : { ...this.#current.job, revisions: this.#current.revisions };
  }

  counts(): { readonly jobs: number; readonly jobRevisions: number } {
    return { jobs: this.#ids.size, jobRevisions: this.#revisions };
  }
}

type Counts = Extract<ArchiveDocument, { kind: 'StoreEnd' }>['counts'];

function checkCounts(found: Counts, expected: Counts, position: Position): void {
  const names = {
    platformRevisions: 'platform revision',
    jobs: 'job',
    jobRevisions: 'job revision',
    idempotencyKeys: 'idempotency key',
  } as const;
  for (const name of ['platformRevisions', 'jobs', 'jobRevisions', 'idempotencyKeys'] as const) {
    if (found[name] === expected[name]) continue;
    const message = `found ${plural(found[name], names[name])} before it, expected ${expected[name]}: the archive is not whole`;
    throw refusal(position, message, `counts.${name}`);
  }
}

const notWhole = (source: ArchiveSource): ArchiveError =>
  refusal(source.position, 'found the end of the text after this, expected StoreEnd: the archive is not whole');

async function* jobsIn(source: ArchiveSource, joiner: JobJoiner): AsyncGenerator<ArchivedJob, void> {
  let isOver = false;
  try {
    for (let document = await source.next(); document !== null; document = await source.next()) {
      const { value, position } = document;
      if (value.kind === 'StoreEnd' || value.kind === 'IdempotencyKeys') {
        source.putBack(document);
        const last = joiner.end();
        if (last !== null) yield last;
        isOver = true;
        return;
      }
      if (value.kind !== 'JobHistory') throw refusal(position, `found ${value.kind} here, expected JobHistory`, 'kind');
      const whole = joiner.add(archivedJob(value), position);
      if (whole !== null) yield whole;
    }
    throw notWhole(source);
  } finally {
    if (!isOver) await source.close();
  }
}

/** What comes after the jobs, the end included. */
async function* keysIn(
  source: ArchiveSource,
  joiner: JobJoiner,
  platformRevisions: number,
): AsyncGenerator<ArchivedKey, void> {
  let idempotencyKeys = 0;
  try {
    for (let document = await source.next(); document !== null; document = await source.next()) {
      const { value, position } = document;
      if (value.kind === 'StoreEnd') {
        checkCounts({ platformRevisions, ...joiner.counts(), idempotencyKeys }, value.counts, position);
        if ((await source.next()) === null) return;
        throw refusal(source.position, 'found a document after the end of the archive, expected none');
      }
      if (value.kind !== 'IdempotencyKeys') {
        throw refusal(position, `found ${value.kind} here, expected IdempotencyKeys`, 'kind');
      }
      idempotencyKeys += value.keys.length;
      yield* archivedKeys(value);
    }
    throw notWhole(source);
  } finally {
    await source.close();
  }
}

/** The platform's history. */
async function readPlatforms(source: ArchiveSource): Promise<ArchivedPlatformRevision[]> {
  const platforms: ArchivedPlatformRevision[] = [];
  const newest = new Map<string | null, number>();
  for (;;) {
    const next = await source.next();
    if (next?.value.kind !== 'PlatformHistory') {
      if (next !== null) source.putBack(next);
      return platforms;
    }
    for (const entry of platformRevisions(next.value)) {
      if (entry.revision <= (newest.get(entry.tenant) ?? 0)) {
        throw refusal(next.position, `found revision ${entry.revision} again, expected each once, oldest first`);
      }
      newest.set(entry.tenant, entry.revision);
      platforms.push(entry);
    }
  }
}

/**
 * Reads what {@link archiveYaml} wrote. The header and the platform are read at once, the jobs one by one as they are
 * asked for, then the keys; only when all of these were read is it sure that the archive was whole, so nothing may be
 * kept before.
 * @param chunks text in pieces of any size
 * @param fileName what positions call the file
 * @throws ArchiveError here, and while jobs and keys are read
 */
export async function readArchive(chunks: AsyncIterable<string>, fileName: string): Promise<StoreArchive> {
  const source = new ArchiveSource(chunks, fileName);
  try {
    const header = await source.next();
    if (header?.value.kind !== 'Store') {
      const found = header === null ? 'no document' : header.value.kind;
      throw refusal(source.position, `found ${found}, expected an archive, which begins with the kind Store`);
    }
    const platforms = await readPlatforms(source);
    const joiner = new JobJoiner();
    return {
      storeId: storeId(header.value.metadata.uid),
      undeleteRetention: header.value.undeleteRetention,
      platforms,
      jobs: jobsIn(source, joiner),
      keys: keysIn(source, joiner, platforms.length),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}
